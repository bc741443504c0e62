/* The floor: bare sockets that pipeline UIDL and RETR and throw the bytes away. Nothing can be much faster.
 *
 * Usage: floor HOST PORT FIRST AT_ONCE ACCOUNTS [CA_FILE]
 * ACCOUNTS is a file with a line `username password` for each maildrop; AT_ONCE of them are read at the same time.
 * Retrieves the messages from number FIRST on and prints, as JSON, the seconds from the first connecting to the last
 * answer to QUIT, the messages, and the octets received. With CA_FILE over TLS (built with -DWITH_TLS).
 * floor.py does the same where there is no compiler.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
static SSL_CTX *tls;
#endif

enum { WINDOW = 256, BUFFER = 1 << 20, OVERLAP = 4, SECONDS = 60 };

struct session {
    int socket;
#ifdef WITH_TLS
    SSL *tls;
#endif
    char *buffer; /* OVERLAP octets of what came before, then what was read last */
};

static struct sockaddr_in server;
static const char *host;
static char **logins; /* USER, PASS, STAT and UIDL of each account, ready to be sent */
static int accounts, next_account;
static long first, messages, octets;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *what) {
    fprintf(stderr, "floor: %s\n", what);
    exit(1);
}

static void send_all(struct session *s, const char *data, size_t length) {
#ifdef WITH_TLS
    if (s->tls) {
        if (SSL_write(s->tls, data, (int)length) != (int)length) fail("TLS write failed");
        return;
    }
#endif
    while (length) {
        ssize_t sent = send(s->socket, data, length, MSG_NOSIGNAL);
        if (sent <= 0) fail("write failed");
        data += sent;
        length -= (size_t)sent;
    }
}

static size_t receive(struct session *s, char *into, size_t room) {
#ifdef WITH_TLS
    if (s->tls) {
        int got = SSL_read(s->tls, into, (int)room);
        return got > 0 ? (size_t)got : 0;
    }
#endif
    ssize_t got = recv(s->socket, into, room, 0);
    return got > 0 ? (size_t)got : 0;
}

static void open_session(struct session *s) {
    struct timeval patience = {SECONDS, 0};
    int on = 1;
    s->socket = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(s->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(s->socket, (struct sockaddr *)&server, sizeof server)) fail("cannot connect");
#ifdef WITH_TLS
    s->tls = NULL;
    if (tls) {
        s->tls = SSL_new(tls);
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->tls), host);
        SSL_set_fd(s->tls, s->socket);
        if (SSL_connect(s->tls) != 1) fail("TLS handshake failed");
    }
#endif
}

static void close_session(struct session *s) {
    char rest[4096];
    send_all(s, "QUIT\r\n", 6);
    while (receive(s, rest, sizeof rest)) {}
#ifdef WITH_TLS
    if (s->tls) SSL_free(s->tls);
#endif
    close(s->socket);
}

/* How many replies end in the `length` octets that were read last; an end may lie across two reads. Looking for the
 * dot alone is the cheapest: base64 has none. */
static long ends(struct session *s, size_t length) {
    const char *end = s->buffer + OVERLAP + length, *dot = s->buffer;
    long found = 0;
    while ((dot = memchr(dot, '.', (size_t)(end - dot)))) {
        if (dot - s->buffer >= 2 && end - dot >= 3 && !memcmp(dot - 2, "\r\n.\r\n", 5)) found++;
        dot++;
    }
    memmove(s->buffer, end - OVERLAP, OVERLAP);
    return found;
}

/* Reads the answers to greeting, USER, PASS and STAT. Returns how many messages there are; `*over` gets how many
 * octets of what follows lie in the buffer already. */
static long after_login(struct session *s, size_t *over) {
    char *start = s->buffer + OVERLAP, *line = start;
    size_t length = 0;
    int lines = 0;
    while (lines < 4) {
        size_t got = receive(s, start + length, BUFFER - 1 - length);
        if (!got) fail("the server closed the connection");
        length += got;
        start[length] = 0;
        char *end;
        while (lines < 4 && (end = strstr(line, "\r\n"))) {
            if (strncmp(line, "+OK", 3)) fail("refused");
            if (++lines == 4) {
                long count = strtol(line + 3, NULL, 10);
                *over = length - (size_t)(end + 2 - start);
                memmove(start, end + 2, *over);
                return count;
            }
            line = end + 2;
        }
    }
    return 0;
}

static void drain(struct session *s, const char *login) {
    char commands[WINDOW * 24];
    size_t got;
    open_session(s);
    memset(s->buffer, 0, OVERLAP);
    send_all(s, login, strlen(login));
    long last = after_login(s, &got), count = last >= first ? last - first + 1 : 0;
    long asked = 0, received = (long)got, replies = ends(s, got);
    while (replies < 1 + count) {
        long ask = replies + WINDOW < count ? replies + WINDOW : count, left = count - asked;
        if (left && ask - asked >= (left < WINDOW / 2 ? left : WINDOW / 2)) {
            size_t length = 0;
            for (; asked < ask; asked++)
                length += (size_t)sprintf(commands + length, "RETR %ld\r\n", first + asked);
            send_all(s, commands, length);
        }
        got = receive(s, s->buffer + OVERLAP, BUFFER);
        if (!got) fail("the server closed the connection");
        received += (long)got;
        replies += ends(s, got);
    }
    close_session(s);
    pthread_mutex_lock(&lock);
    messages += count;
    octets += received;
    pthread_mutex_unlock(&lock);
}

static void *work(void *unused) {
    struct session s;
    (void)unused;
    s.buffer = malloc(OVERLAP + BUFFER);
    for (;;) {
        pthread_mutex_lock(&lock);
        int mine = next_account++;
        pthread_mutex_unlock(&lock);
        if (mine >= accounts) break;
        drain(&s, logins[mine]);
    }
    free(s.buffer);
    return NULL;
}

static void read_accounts(const char *path) {
    char username[256], password[256], login[600];
    FILE *file = fopen(path, "r");
    if (!file) fail("cannot read the accounts");
    while (fscanf(file, "%255s %255s", username, password) == 2) {
        snprintf(login, sizeof login, "USER %s\r\nPASS %s\r\nSTAT\r\nUIDL\r\n", username, password);
        logins = realloc(logins, (size_t)(accounts + 1) * sizeof *logins);
        logins[accounts++] = strdup(login);
    }
    fclose(file);
}

static void prepare_tls(const char *ca_file) {
#ifdef WITH_TLS
    tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_load_verify_locations(tls, ca_file, NULL) != 1) fail("cannot read the CA file");
#else
    (void)ca_file;
    fail("built without TLS");
#endif
}

int main(int argc, char **argv) {
    struct timespec begin, end;
    if (argc < 6) fail("usage: floor HOST PORT FIRST AT_ONCE ACCOUNTS [CA_FILE]");
    host = argv[1];
    server.sin_family = AF_INET;
    server.sin_port = htons((unsigned short)atoi(argv[2]));
    if (inet_pton(AF_INET, host, &server.sin_addr) != 1) fail("HOST must be an IPv4 address");
    first = atol(argv[3]);
    int at_once = atoi(argv[4]);
    read_accounts(argv[5]);
    if (argc > 6) prepare_tls(argv[6]);
    pthread_t *threads = calloc((size_t)at_once, sizeof *threads);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < at_once; i++)
        if (pthread_create(&threads[i], NULL, work, NULL)) fail("cannot start a thread");
    for (int i = 0; i < at_once; i++) pthread_join(threads[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("{\"seconds\": %.6f, \"messages\": %ld, \"octets\": %ld}\n", seconds, messages, octets);
    return 0;
}
