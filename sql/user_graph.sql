-- Nodes and edges of users' own, beside those of source code. Ingestion never writes them. A user's
-- edge whose node goes away with its source waits in onyx.detached_links, and comes back by itself
-- when a node of the same repository, kind and qualified name does.

CREATE TABLE onyx.detached_links (
    LIKE onyx.links,
    source_repo text, source_kind text, source_name text, source_language text,
    target_repo text, target_kind text, target_name text, target_language text,
    PRIMARY KEY (id)
);
COMMENT ON TABLE onyx.detached_links IS 'Users'' edges that lack a node since its source was removed; they come back with it';
COMMENT ON COLUMN onyx.detached_links.source_name IS 'Qualified name of the node that is gone; NULL when source_id is there';
COMMENT ON COLUMN onyx.detached_links.target_name IS 'Qualified name of the node that is gone; NULL when target_id is there';
SELECT pg_catalog.pg_extension_config_dump('onyx.detached_links', '');

CREATE FUNCTION onyx.detach_links() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- In this order the smallest index answers, however few there are; EXISTS alone may read all edges.
    IF (SELECT true FROM onyx.links l WHERE l.origin <> 'source' ORDER BY l.source_id LIMIT 1) THEN
        -- Of the catalog's and of nodes users removed, nothing is kept.
        INSERT INTO onyx.detached_links
        SELECT l.*
        FROM onyx.links l
        WHERE l.origin = 'user'
          AND (EXISTS (SELECT FROM gone g WHERE g.id = l.source_id AND g.origin = 'source')
               OR EXISTS (SELECT FROM gone g WHERE g.id = l.target_id AND g.origin = 'source'))
          AND NOT EXISTS (SELECT FROM gone g WHERE g.id IN (l.source_id, l.target_id) AND g.origin <> 'source');
        DELETE FROM onyx.links l
        WHERE l.origin <> 'source'
          AND l.id IN (SELECT m.id FROM gone g JOIN onyx.links m ON m.source_id = g.id WHERE m.origin <> 'source'
                       UNION
                       SELECT m.id FROM gone g JOIN onyx.links m ON m.target_id = g.id WHERE m.origin <> 'source');
    END IF;
    IF EXISTS (SELECT FROM onyx.detached_links) THEN
        DELETE FROM onyx.detached_links d USING gone g
        WHERE g.origin <> 'source'
          AND (d.source_id = g.id AND d.source_name IS NULL OR d.target_id = g.id AND d.target_name IS NULL);
        UPDATE onyx.detached_links d
        SET source_repo = (SELECT r.name FROM onyx.repos r WHERE r.id = g.repo_id),
            source_kind = g.kind, source_name = g.qualified_name, source_language = g.language
        FROM gone g WHERE g.id = d.source_id AND d.source_name IS NULL;
        UPDATE onyx.detached_links d
        SET target_repo = (SELECT r.name FROM onyx.repos r WHERE r.id = g.repo_id),
            target_kind = g.kind, target_name = g.qualified_name, target_language = g.language
        FROM gone g WHERE g.id = d.target_id AND d.target_name IS NULL;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION onyx.detach_links() IS 'Keeps users'' edges of nodes that go away with their source; a trigger';

CREATE FUNCTION onyx.attach_links() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM onyx.detached_links) THEN
        RETURN NULL;
    END IF;
    UPDATE onyx.detached_links d
    SET source_id = n.id, source_repo = NULL, source_kind = NULL, source_name = NULL, source_language = NULL
    FROM onyx.nodes n, onyx.repos r
    WHERE d.source_name IS NOT NULL AND r.name = d.source_repo AND n.repo_id = r.id AND n.kind = d.source_kind
      AND n.qualified_name = d.source_name AND n.language IS NOT DISTINCT FROM d.source_language;
    UPDATE onyx.detached_links d
    SET target_id = n.id, target_repo = NULL, target_kind = NULL, target_name = NULL, target_language = NULL
    FROM onyx.nodes n, onyx.repos r
    WHERE d.target_name IS NOT NULL AND r.name = d.target_repo AND n.repo_id = r.id AND n.kind = d.target_kind
      AND n.qualified_name = d.target_name AND n.language IS NOT DISTINCT FROM d.target_language;
    WITH whole AS (
        DELETE FROM onyx.detached_links d WHERE d.source_name IS NULL AND d.target_name IS NULL RETURNING d.*
    )
    INSERT INTO onyx.links (id, repo_id, file_id, source_id, target_id, line, col, confidence, kind, origin,
                            resolution, properties)
    SELECT w.id, w.repo_id, w.file_id, w.source_id, w.target_id, w.line, w.col, w.confidence, w.kind, w.origin,
           w.resolution, w.properties
    FROM whole w;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION onyx.attach_links() IS 'Brings users'' edges back when their nodes are there again; a trigger';

CREATE TRIGGER detach_links AFTER DELETE ON onyx.nodes REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION onyx.detach_links();
CREATE TRIGGER attach_links AFTER INSERT ON onyx.nodes
    FOR EACH STATEMENT EXECUTE FUNCTION onyx.attach_links();

CREATE FUNCTION onyx.require_user_node(node bigint) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made_by text := (SELECT n.origin FROM onyx.nodes n WHERE n.id = node);
BEGIN
    IF made_by IS NULL THEN
        RAISE undefined_object USING MESSAGE = pg_catalog.format('node %s does not exist', coalesce(node::text, 'NULL'));
    ELSIF made_by <> 'user' THEN
        RAISE wrong_object_type USING
            MESSAGE = pg_catalog.format('node %s is not a user''s node', node),
            DETAIL = pg_catalog.format('Its origin is %s.', made_by),
            HINT = 'Nodes of source code and of the catalog change with what they stand for. Add a node and an edge instead.';
    END IF;
END
$$;
COMMENT ON FUNCTION onyx.require_user_node(bigint) IS 'Raises an error unless a node is a user''s';

CREATE FUNCTION onyx.add_node(
    kind text, name text, qualified_name text DEFAULT NULL, doc text DEFAULT '',
    properties jsonb DEFAULT '{}')
RETURNS bigint LANGUAGE sql VOLATILE
BEGIN ATOMIC
    INSERT INTO onyx.nodes (origin, kind, name, qualified_name, signature, doc, properties)
    VALUES ('user', add_node.kind, add_node.name, coalesce(add_node.qualified_name, add_node.name), '',
            coalesce(add_node.doc, ''), add_node.properties)
    RETURNING id;
END;
COMMENT ON FUNCTION onyx.add_node(text, text, text, text, jsonb) IS
    'Adds a node of any kind, such as a service, ticket or owner; returns its id';

CREATE FUNCTION onyx.update_node(
    node bigint, kind text DEFAULT NULL, name text DEFAULT NULL, qualified_name text DEFAULT NULL,
    doc text DEFAULT NULL, properties jsonb DEFAULT NULL)
RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT onyx.require_user_node(node);
    UPDATE onyx.nodes n SET
        kind = coalesce(update_node.kind, n.kind), name = coalesce(update_node.name, n.name),
        qualified_name = coalesce(update_node.qualified_name, n.qualified_name),
        doc = coalesce(update_node.doc, n.doc),
        properties = coalesce(update_node.properties, n.properties)
    WHERE n.id = node;
END;
COMMENT ON FUNCTION onyx.update_node(bigint, text, text, text, text, jsonb) IS
    'Changes a user''s node; what is NULL stays as it is';

CREATE FUNCTION onyx.remove_node(node bigint) RETURNS void LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT onyx.require_user_node(node);
    DELETE FROM onyx.nodes n WHERE n.id = node;
END;
COMMENT ON FUNCTION onyx.remove_node(bigint) IS 'Removes a user''s node and its edges';

CREATE FUNCTION onyx.add_edge(
    source bigint, target bigint, kind text, properties jsonb DEFAULT '{}', confidence real DEFAULT 1)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made bigint;
    missing bigint;
BEGIN
    SELECT e.id INTO missing FROM (VALUES (source), (target)) e (id)
    WHERE NOT EXISTS (SELECT FROM onyx.nodes n WHERE n.id = e.id) LIMIT 1;
    IF FOUND THEN
        RAISE undefined_object USING MESSAGE = pg_catalog.format('node %s does not exist', coalesce(missing::text, 'NULL'));
    END IF;
    INSERT INTO onyx.links (source_id, target_id, kind, confidence, origin, resolution, properties)
    VALUES (source, target, kind, confidence, 'user', 'user', properties)
    RETURNING id INTO made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION onyx.add_edge(bigint, bigint, text, jsonb, real) IS
    'Adds an edge of any kind between two nodes; returns its id';

CREATE FUNCTION onyx.update_edge(
    edge bigint, kind text DEFAULT NULL, properties jsonb DEFAULT NULL, confidence real DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE onyx.links l SET
        kind = coalesce(update_edge.kind, l.kind), confidence = coalesce(update_edge.confidence, l.confidence),
        properties = coalesce(update_edge.properties, l.properties)
    WHERE l.id = edge AND l.origin = 'user';
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = pg_catalog.format('there is no edge %s of a user', coalesce(edge::text, 'NULL'));
    END IF;
END
$$;
COMMENT ON FUNCTION onyx.update_edge(bigint, text, jsonb, real) IS
    'Changes a user''s edge; what is NULL stays as it is';

CREATE FUNCTION onyx.remove_edge(edge bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM onyx.links l WHERE l.id = edge AND l.origin = 'user';
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = pg_catalog.format('there is no edge %s of a user', coalesce(edge::text, 'NULL'));
    END IF;
END
$$;
COMMENT ON FUNCTION onyx.remove_edge(bigint) IS 'Removes a user''s edge';
