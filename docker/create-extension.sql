-- Runs once, when the image creates its cluster.
CREATE EXTENSION onyx CASCADE;
