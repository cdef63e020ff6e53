-- The access method and its operator classes.

CREATE FUNCTION onyx.hnsw_handler(internal) RETURNS index_am_handler
AS 'MODULE_PATHNAME', 'onyx_hnsw_handler' LANGUAGE c;
COMMENT ON FUNCTION onyx.hnsw_handler(internal) IS 'Handler of the access method onyx_hnsw';

CREATE ACCESS METHOD onyx_hnsw TYPE INDEX HANDLER onyx.hnsw_handler;
COMMENT ON ACCESS METHOD onyx_hnsw IS 'approximate nearest neighbours by a graph in the Onyx engine';

-- Each operator class says by its support function 1 what it indexes.
CREATE FUNCTION onyx.hnsw_kind_vector_l2() RETURNS integer
AS 'MODULE_PATHNAME', 'onyx_kind_vector_l2' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION onyx.hnsw_kind_vector_l2() IS 'Support function of onyx_hnsw';
CREATE FUNCTION onyx.hnsw_kind_vector_ip() RETURNS integer
AS 'MODULE_PATHNAME', 'onyx_kind_vector_ip' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION onyx.hnsw_kind_vector_ip() IS 'Support function of onyx_hnsw';
CREATE FUNCTION onyx.hnsw_kind_vector_cosine() RETURNS integer
AS 'MODULE_PATHNAME', 'onyx_kind_vector_cosine' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION onyx.hnsw_kind_vector_cosine() IS 'Support function of onyx_hnsw';
CREATE FUNCTION onyx.hnsw_kind_vector_l1() RETURNS integer
AS 'MODULE_PATHNAME', 'onyx_kind_vector_l1' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION onyx.hnsw_kind_vector_l1() IS 'Support function of onyx_hnsw';
CREATE FUNCTION onyx.hnsw_kind_halfvec_l2() RETURNS integer
AS 'MODULE_PATHNAME', 'onyx_kind_halfvec_l2' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION onyx.hnsw_kind_halfvec_l2() IS 'Support function of onyx_hnsw';
CREATE FUNCTION onyx.hnsw_kind_halfvec_ip() RETURNS integer
AS 'MODULE_PATHNAME', 'onyx_kind_halfvec_ip' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION onyx.hnsw_kind_halfvec_ip() IS 'Support function of onyx_hnsw';
CREATE FUNCTION onyx.hnsw_kind_halfvec_cosine() RETURNS integer
AS 'MODULE_PATHNAME', 'onyx_kind_halfvec_cosine' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION onyx.hnsw_kind_halfvec_cosine() IS 'Support function of onyx_hnsw';
CREATE FUNCTION onyx.hnsw_kind_halfvec_l1() RETURNS integer
AS 'MODULE_PATHNAME', 'onyx_kind_halfvec_l1' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION onyx.hnsw_kind_halfvec_l1() IS 'Support function of onyx_hnsw';
CREATE FUNCTION onyx.hnsw_kind_text() RETURNS integer
AS 'MODULE_PATHNAME', 'onyx_kind_text' LANGUAGE c IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION onyx.hnsw_kind_text() IS 'Support function of onyx_hnsw';

-- In pgvector's schema and under its names, so that USING hnsw becomes USING onyx_hnsw and nothing
-- else changes.
CREATE OPERATOR CLASS @extschema:vector@.vector_l2_ops
FOR TYPE @extschema:vector@.vector USING onyx_hnsw AS
    OPERATOR 1 @extschema:vector@.<-> (@extschema:vector@.vector, @extschema:vector@.vector)
        FOR ORDER BY pg_catalog.float_ops,
    FUNCTION 1 (@extschema:vector@.vector) onyx.hnsw_kind_vector_l2();
CREATE OPERATOR CLASS @extschema:vector@.vector_ip_ops
FOR TYPE @extschema:vector@.vector USING onyx_hnsw AS
    OPERATOR 1 @extschema:vector@.<#> (@extschema:vector@.vector, @extschema:vector@.vector)
        FOR ORDER BY pg_catalog.float_ops,
    FUNCTION 1 (@extschema:vector@.vector) onyx.hnsw_kind_vector_ip();
CREATE OPERATOR CLASS @extschema:vector@.vector_cosine_ops
FOR TYPE @extschema:vector@.vector USING onyx_hnsw AS
    OPERATOR 1 @extschema:vector@.<=> (@extschema:vector@.vector, @extschema:vector@.vector)
        FOR ORDER BY pg_catalog.float_ops,
    FUNCTION 1 (@extschema:vector@.vector) onyx.hnsw_kind_vector_cosine();
CREATE OPERATOR CLASS @extschema:vector@.vector_l1_ops
FOR TYPE @extschema:vector@.vector USING onyx_hnsw AS
    OPERATOR 1 @extschema:vector@.<+> (@extschema:vector@.vector, @extschema:vector@.vector)
        FOR ORDER BY pg_catalog.float_ops,
    FUNCTION 1 (@extschema:vector@.vector) onyx.hnsw_kind_vector_l1();
CREATE OPERATOR CLASS @extschema:vector@.halfvec_l2_ops
FOR TYPE @extschema:vector@.halfvec USING onyx_hnsw AS
    OPERATOR 1 @extschema:vector@.<-> (@extschema:vector@.halfvec, @extschema:vector@.halfvec)
        FOR ORDER BY pg_catalog.float_ops,
    FUNCTION 1 (@extschema:vector@.halfvec) onyx.hnsw_kind_halfvec_l2();
CREATE OPERATOR CLASS @extschema:vector@.halfvec_ip_ops
FOR TYPE @extschema:vector@.halfvec USING onyx_hnsw AS
    OPERATOR 1 @extschema:vector@.<#> (@extschema:vector@.halfvec, @extschema:vector@.halfvec)
        FOR ORDER BY pg_catalog.float_ops,
    FUNCTION 1 (@extschema:vector@.halfvec) onyx.hnsw_kind_halfvec_ip();
CREATE OPERATOR CLASS @extschema:vector@.halfvec_cosine_ops
FOR TYPE @extschema:vector@.halfvec USING onyx_hnsw AS
    OPERATOR 1 @extschema:vector@.<=> (@extschema:vector@.halfvec, @extschema:vector@.halfvec)
        FOR ORDER BY pg_catalog.float_ops,
    FUNCTION 1 (@extschema:vector@.halfvec) onyx.hnsw_kind_halfvec_cosine();
CREATE OPERATOR CLASS @extschema:vector@.halfvec_l1_ops
FOR TYPE @extschema:vector@.halfvec USING onyx_hnsw AS
    OPERATOR 1 @extschema:vector@.<+> (@extschema:vector@.halfvec, @extschema:vector@.halfvec)
        FOR ORDER BY pg_catalog.float_ops,
    FUNCTION 1 (@extschema:vector@.halfvec) onyx.hnsw_kind_halfvec_l1();

CREATE OPERATOR CLASS onyx.text_semantic_ops
DEFAULT FOR TYPE text USING onyx_hnsw AS
    OPERATOR 1 onyx.<=> (text, text) FOR ORDER BY pg_catalog.float_ops,
    FUNCTION 1 (text) onyx.hnsw_kind_text();

COMMENT ON OPERATOR CLASS @extschema:vector@.vector_l2_ops USING onyx_hnsw IS
    'vectors by Euclidean distance';
COMMENT ON OPERATOR CLASS @extschema:vector@.vector_ip_ops USING onyx_hnsw IS
    'vectors by negative inner product';
COMMENT ON OPERATOR CLASS @extschema:vector@.vector_cosine_ops USING onyx_hnsw IS
    'vectors by cosine distance';
COMMENT ON OPERATOR CLASS @extschema:vector@.vector_l1_ops USING onyx_hnsw IS
    'vectors by taxicab distance';
COMMENT ON OPERATOR CLASS @extschema:vector@.halfvec_l2_ops USING onyx_hnsw IS
    'half-precision vectors by Euclidean distance';
COMMENT ON OPERATOR CLASS @extschema:vector@.halfvec_ip_ops USING onyx_hnsw IS
    'half-precision vectors by negative inner product';
COMMENT ON OPERATOR CLASS @extschema:vector@.halfvec_cosine_ops USING onyx_hnsw IS
    'half-precision vectors by cosine distance';
COMMENT ON OPERATOR CLASS @extschema:vector@.halfvec_l1_ops USING onyx_hnsw IS
    'half-precision vectors by taxicab distance';
COMMENT ON OPERATOR CLASS onyx.text_semantic_ops USING onyx_hnsw IS
    'texts by the cosine distance of their embeddings under onyx.model';
