-- Functions of the library. Public ones first, then what views are made of.

-- Embedding

CREATE FUNCTION onyx.embed(input text, model text DEFAULT NULL)
RETURNS @extschema:vector@.vector
AS 'MODULE_PATHNAME', 'onyx_embed' LANGUAGE c STABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION onyx.embed(text, text) IS
    'Embedding of a text by a model of onyx.models, by default that of the setting onyx.model';

CREATE FUNCTION onyx.embed(input text[], model text DEFAULT NULL)
RETURNS @extschema:vector@.vector[]
AS 'MODULE_PATHNAME', 'onyx_embed_array' LANGUAGE c STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION onyx.embed(text[], text) IS
    'Embeddings of many texts at once; NULL elements stay NULL';

CREATE FUNCTION onyx.text_distance(text, text) RETURNS float8
AS 'MODULE_PATHNAME', 'onyx_text_distance' LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION onyx.text_distance(text, text) IS
    'Semantic distance: cosine distance of the embeddings of two texts under onyx.model, 0 to 2';

CREATE OPERATOR onyx.<=> (
    LEFTARG = text, RIGHTARG = text, FUNCTION = onyx.text_distance, COMMUTATOR = OPERATOR(onyx.<=>)
);
COMMENT ON OPERATOR onyx.<=> (text, text) IS 'semantic distance under onyx.model';

CREATE FUNCTION onyx.probe_model(
    name text, model_path text, tokenizer_path text, dimensions integer, pooling text,
    normalized boolean, max_tokens integer)
RETURNS boolean
AS 'MODULE_PATHNAME', 'probe_model_wrapper' LANGUAGE c VOLATILE STRICT;
COMMENT ON FUNCTION onyx.probe_model(text, text, text, integer, text, boolean, integer) IS
    'Loads a model and embeds one text with it; raises what is wrong with it';

CREATE FUNCTION onyx.register_model(
    name text, model_path text, tokenizer_path text, dimensions integer,
    pooling text DEFAULT 'mean', normalized boolean DEFAULT true, max_tokens integer DEFAULT 256)
RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT onyx.probe_model(name, model_path, tokenizer_path, dimensions, pooling, normalized, max_tokens);
    INSERT INTO onyx.models AS m
    VALUES (name, model_path, tokenizer_path, dimensions, pooling, normalized, max_tokens)
    ON CONFLICT ON CONSTRAINT models_pkey DO UPDATE SET
        model_path = excluded.model_path, tokenizer_path = excluded.tokenizer_path,
        dimensions = excluded.dimensions, pooling = excluded.pooling,
        normalized = excluded.normalized, max_tokens = excluded.max_tokens;
END;
COMMENT ON FUNCTION onyx.register_model(text, text, text, integer, text, boolean, integer) IS
    'Checks that an ONNX sentence model works and registers it; needs pg_read_server_files';

CREATE FUNCTION onyx.wait_for_embeddings(timeout interval DEFAULT NULL) RETURNS boolean
AS 'MODULE_PATHNAME', 'wait_for_embeddings_wrapper' LANGUAGE c VOLATILE;
COMMENT ON FUNCTION onyx.wait_for_embeddings(interval) IS
    'Waits until no text waits for its embedding; false when the timeout passed first';

-- Words

CREATE FUNCTION onyx.words(input text) RETURNS text
AS 'MODULE_PATHNAME', 'words_wrapper' LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION onyx.words(text) IS
    'Lower-case words of a text, identifiers split: cookieJar2 and cookie_jar become cookie jar';

-- Ingestion

CREATE FUNCTION onyx.ingest_directory(
    repo text, root text, include text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
    branch text DEFAULT NULL, author text DEFAULT NULL, authored_at timestamptz DEFAULT NULL,
    message text DEFAULT NULL,
    OUT files bigint, OUT files_changed bigint, OUT files_removed bigint, OUT nodes bigint,
    OUT edges bigint, OUT bytes bigint, OUT skipped jsonb, OUT seconds jsonb, OUT commit_id integer)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ingest_directory_wrapper' LANGUAGE c VOLATILE COST 100000 ROWS 1
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.ingest_directory(text, text, text[], text[], text, text, timestamptz, text) IS
    'Ingests a directory of the server as a repository: new and changed files, and removes what is gone; needs pg_read_server_files';

CREATE FUNCTION onyx.ingest_file(
    repo text, path text, content bytea, language text DEFAULT NULL,
    branch text DEFAULT NULL, author text DEFAULT NULL, authored_at timestamptz DEFAULT NULL,
    message text DEFAULT NULL,
    OUT files bigint, OUT files_changed bigint, OUT files_removed bigint, OUT nodes bigint,
    OUT edges bigint, OUT bytes bigint, OUT skipped jsonb, OUT seconds jsonb, OUT commit_id integer)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ingest_file_wrapper' LANGUAGE c VOLATILE COST 10000 ROWS 1
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.ingest_file(text, text, bytea, text, text, text, timestamptz, text) IS
    'Ingests one file into a repository; the language is taken from the path unless given';

CREATE FUNCTION onyx.ingest_file(
    repo text, path text, content text, language text DEFAULT NULL,
    branch text DEFAULT NULL, author text DEFAULT NULL, authored_at timestamptz DEFAULT NULL,
    message text DEFAULT NULL,
    OUT files bigint, OUT files_changed bigint, OUT files_removed bigint, OUT nodes bigint,
    OUT edges bigint, OUT bytes bigint, OUT skipped jsonb, OUT seconds jsonb, OUT commit_id integer)
RETURNS SETOF record LANGUAGE sql VOLATILE ROWS 1
BEGIN ATOMIC
    SELECT * FROM onyx.ingest_file(
        repo, path, pg_catalog.convert_to(content, 'UTF8'), language, branch, author, authored_at, message);
END;
COMMENT ON FUNCTION onyx.ingest_file(text, text, text, text, text, text, timestamptz, text) IS
    'Ingests one file into a repository; the language is taken from the path unless given';

CREATE FUNCTION onyx.forget(repo text, path text DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'forget_wrapper' LANGUAGE c VOLATILE COST 10000
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.forget(text, text) IS
    'Removes a repository, or one file or directory of it, from the graph; returns how many files';

-- The store

CREATE FUNCTION onyx.checkpoint_store(path text) RETURNS void
AS 'MODULE_PATHNAME', 'checkpoint_store_wrapper' LANGUAGE c VOLATILE STRICT;
COMMENT ON FUNCTION onyx.checkpoint_store(text) IS
    'Makes a consistent, hard-linked copy of the engine''s store in a new directory of the server; needs pg_write_server_files';

CREATE FUNCTION onyx.sweep() RETURNS bigint
AS 'MODULE_PATHNAME', 'sweep_wrapper' LANGUAGE c VOLATILE
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.sweep() IS
    'Deletes index generations that no index of this database refers to; runs by itself in the background';

CREATE FUNCTION onyx.check_index(index regclass, OUT tid tid, OUT problem text) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'check_index_wrapper' LANGUAGE c VOLATILE STRICT COST 100000;
COMMENT ON FUNCTION onyx.check_index(regclass) IS
    'Rows of an index''s table that its generation lacks, entries without a row, and entries no search comes to; none when all is well';

CREATE FUNCTION onyx.prewarm(index regclass) RETURNS bigint
AS 'MODULE_PATHNAME', 'prewarm_wrapper' LANGUAGE c VOLATILE STRICT COST 100000;
COMMENT ON FUNCTION onyx.prewarm(regclass) IS
    'Waits until the engine has loaded an index, with its full vectors as far as onyx.memory_limit allows; returns the bytes of memory it takes';

CREATE FUNCTION onyx.rebuild(index regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE pg_catalog.format('REINDEX INDEX %s', index);
END
$$;
COMMENT ON FUNCTION onyx.rebuild(regclass) IS 'Builds a new generation of an index now, as REINDEX does';

-- What the stat_* views are made of

CREATE FUNCTION onyx.engine_status(
    OUT state text, OUT pid integer, OUT supervisor_pid integer, OUT version text,
    OUT started_at timestamptz, OUT restarts bigint, OUT resident_bytes bigint,
    OUT index_bytes bigint, OUT requests bigint, OUT errors bigint, OUT active bigint,
    OUT store_bytes bigint, OUT generations bigint, OUT embeddings bigint, OUT last_error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'engine_status_wrapper' LANGUAGE c VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION onyx.engine_status() IS 'Rows of onyx.stat_engine';

CREATE FUNCTION onyx.embedding_status(
    OUT model text, OUT pending bigint, OUT embedded bigint, OUT cache_hits bigint,
    OUT tokens bigint, OUT busy_seconds float8, OUT last_error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'embedding_status_wrapper' LANGUAGE c VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION onyx.embedding_status() IS 'Rows of onyx.stat_embedding';

CREATE FUNCTION onyx.index_status(
    index regclass, OUT state text, OUT reason text, OUT generation text, OUT entries bigint,
    OUT pending bigint, OUT tombstones bigint, OUT memory_bytes bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'index_status_wrapper' LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION onyx.index_status(regclass) IS 'A row of onyx.stat_index';

CREATE FUNCTION onyx.progress_status(
    OUT pid integer, OUT datid oid, OUT started_at timestamptz, OUT phase text, OUT repo text,
    OUT done bigint, OUT total bigint, OUT bytes bigint, OUT nodes bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'progress_status_wrapper' LANGUAGE c VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION onyx.progress_status() IS 'Rows of onyx.progress';
