"""What a job that does nothing costs: in engines of others, and by claims and jobs of ours."""
