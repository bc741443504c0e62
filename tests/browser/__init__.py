"""What a browser makes of our HTML."""
