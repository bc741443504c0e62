"""The engines of others. Each module runs in the peers' own environment, where nothing of ours is installed."""
