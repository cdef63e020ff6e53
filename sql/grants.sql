-- Source code is not for everybody by default: tables are their owner's until granted. Functions
-- run with their caller's rights.

GRANT USAGE ON SCHEMA onyx TO PUBLIC;
GRANT SELECT ON onyx.models, onyx.stat_engine, onyx.stat_embedding, onyx.stat_index, onyx.progress
    TO PUBLIC;
REVOKE EXECUTE ON FUNCTION
    onyx.probe_model(text, text, text, integer, text, boolean, integer),
    onyx.register_model(text, text, text, integer, text, boolean, integer),
    onyx.checkpoint_store(text), onyx.sweep()
FROM PUBLIC;
