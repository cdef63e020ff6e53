-- A part of the graph as text other programs read.

CREATE FUNCTION onyx.export_escape(content text, format text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE format
    -- XML has no way to say control characters.
    WHEN 'graphml' THEN pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.regexp_replace(content, '[\x01-\x08\x0b\x0c\x0e-\x1f]', '', 'g'),
        '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;')
    WHEN 'dot' THEN pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        content, '\', '\\'), '"', '\"'), E'\n', '\n')
    WHEN 'mermaid' THEN pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
        pg_catalog.regexp_replace(content, '\s+', ' ', 'g'),
        '#', '#35;'), '"', '#quot;'), '<', '#lt;'), '>', '#gt;'), '|', '#124;')
    ELSE content END;
COMMENT ON FUNCTION onyx.export_escape(text, text) IS 'A text as it is written inside quotes of a format of onyx.export_graph';

CREATE FUNCTION onyx.export_graph(
    nodes bigint[], format text DEFAULT 'json', edge_kinds text[] DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    node_part text;
    edge_part text;
BEGIN
    IF format IS NULL OR format NOT IN ('json', 'graphml', 'dot', 'mermaid') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = pg_catalog.format('export format "%s" is not known', coalesce(format, 'NULL')),
            HINT = 'Formats are json, graphml, dot and mermaid.';
    END IF;
    WITH chosen AS (
        SELECT n.id, n.kind, n.name, n.qualified_name, n.start_line, n.end_line, n.properties, r.name AS repo, f.path
        FROM onyx.nodes n
        LEFT JOIN onyx.repos r ON r.id = n.repo_id
        LEFT JOIN onyx.files f ON f.id = n.file_id
        WHERE n.id = ANY (nodes)
    )
    SELECT CASE format
        WHEN 'json' THEN string_agg(jsonb_strip_nulls(jsonb_build_object(
            'id', c.id, 'kind', c.kind, 'name', c.name, 'qualified_name', c.qualified_name, 'repo', c.repo,
            'path', c.path, 'start_line', c.start_line, 'end_line', c.end_line,
            'properties', c.properties))::text, E',\n  ' ORDER BY c.id)
        WHEN 'graphml' THEN string_agg(
            '    <node id="n' || c.id || '"><data key="kind">' || onyx.export_escape(c.kind, format)
            || '</data><data key="name">' || onyx.export_escape(c.qualified_name, format)
            || coalesce('</data><data key="repo">' || onyx.export_escape(c.repo, format), '')
            || coalesce('</data><data key="path">' || onyx.export_escape(c.path, format), '')
            || coalesce('</data><data key="line">' || c.start_line, '')
            || coalesce('</data><data key="properties">' || onyx.export_escape(c.properties::text, format), '')
            || '</data></node>', E'\n' ORDER BY c.id)
        WHEN 'dot' THEN string_agg(
            '  n' || c.id || ' [label="' || onyx.export_escape(c.kind || E'\n' || c.qualified_name, format) || '"];',
            E'\n' ORDER BY c.id)
        ELSE string_agg('  n' || c.id || '["' || onyx.export_escape(c.kind || ' ' || c.qualified_name, format) || '"]',
            E'\n' ORDER BY c.id)
        END
    INTO node_part
    FROM chosen c;
    WITH chosen AS (
        SELECT e.source_id, e.target_id, e.kind, max(e.confidence) AS confidence,
               array_agg(DISTINCT e.line ORDER BY e.line) FILTER (WHERE e.line IS NOT NULL AND e.kind <> 'contains') AS lines
        FROM onyx.edges e
        WHERE e.source_id = ANY (nodes) AND e.target_id = ANY (nodes)
          AND (edge_kinds IS NULL OR e.kind = ANY (edge_kinds))
          -- Rows a policy hides are no nodes of the export.
          AND EXISTS (SELECT FROM onyx.nodes s WHERE s.id = e.source_id)
          AND EXISTS (SELECT FROM onyx.nodes t WHERE t.id = e.target_id)
        GROUP BY e.source_id, e.target_id, e.kind
    )
    SELECT CASE format
        WHEN 'json' THEN string_agg(jsonb_strip_nulls(jsonb_build_object(
            'source', c.source_id, 'target', c.target_id, 'kind', c.kind, 'confidence', c.confidence,
            'lines', c.lines))::text, E',\n  ' ORDER BY c.source_id, c.target_id, c.kind)
        WHEN 'graphml' THEN string_agg(
            '    <edge source="n' || c.source_id || '" target="n' || c.target_id || '"><data key="edge_kind">'
            || onyx.export_escape(c.kind, format) || '</data><data key="confidence">' || c.confidence || '</data></edge>',
            E'\n' ORDER BY c.source_id, c.target_id, c.kind)
        WHEN 'dot' THEN string_agg(
            '  n' || c.source_id || ' -> n' || c.target_id || ' [label="' || onyx.export_escape(c.kind, format) || '"];',
            E'\n' ORDER BY c.source_id, c.target_id, c.kind)
        ELSE string_agg(
            '  n' || c.source_id || ' -->|"' || onyx.export_escape(c.kind, format) || '"| n' || c.target_id,
            E'\n' ORDER BY c.source_id, c.target_id, c.kind)
        END
    INTO edge_part
    FROM chosen c;
    RETURN CASE format
        WHEN 'json' THEN concat(E'{"nodes": [\n  ', node_part, E'\n], "edges": [\n  ', edge_part, E'\n]}')
        WHEN 'graphml' THEN concat_ws(E'\n',
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
            '  <key id="kind" for="node" attr.name="kind" attr.type="string"/>',
            '  <key id="name" for="node" attr.name="name" attr.type="string"/>',
            '  <key id="repo" for="node" attr.name="repo" attr.type="string"/>',
            '  <key id="path" for="node" attr.name="path" attr.type="string"/>',
            '  <key id="line" for="node" attr.name="line" attr.type="int"/>',
            '  <key id="properties" for="node" attr.name="properties" attr.type="string"/>',
            '  <key id="edge_kind" for="edge" attr.name="kind" attr.type="string"/>',
            '  <key id="confidence" for="edge" attr.name="confidence" attr.type="double"/>',
            '  <graph edgedefault="directed">', node_part, edge_part, '  </graph>', '</graphml>')
        WHEN 'dot' THEN concat_ws(E'\n', 'digraph onyx {', node_part, edge_part, '}')
        ELSE concat_ws(E'\n', 'flowchart LR', node_part, edge_part)
        END;
END
$$;
COMMENT ON FUNCTION onyx.export_graph(bigint[], text, text[]) IS
    'Some nodes and the edges among them as json, graphml, dot or mermaid';
