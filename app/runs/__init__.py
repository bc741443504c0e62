"""The rows of syncs: asked for, admitted, ended; and their routes."""
