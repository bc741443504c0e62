"""The image and the compose file: built, and run as an engine would."""
