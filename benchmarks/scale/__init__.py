"""How large it can be: polls a second, millions of rows, several workers, and what a year of it would take."""
