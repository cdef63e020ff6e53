-- What people look at in history: sizes, churn, age, ownership, hotspots, co-change, dead symbols, what releases
-- change of an interface; and forgetting history. Of each measure there is a view, of the default branches with
-- all of their history, and where time matters a function that takes a repository, a branch and a span of time.

CREATE FUNCTION onyx.ancestors(commit integer) RETURNS SETOF integer
AS 'MODULE_PATHNAME', 'ancestors_wrapper' LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000 ROWS 1000;
COMMENT ON FUNCTION onyx.ancestors(integer) IS 'The commits that one descends from, along all parents, and that commit itself';

CREATE FUNCTION onyx.forget_history(
    repo text, before timestamptz, OUT commits bigint, OUT file_versions bigint, OUT symbol_versions bigint,
    OUT contents bigint, OUT bytes bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forget_history_wrapper' LANGUAGE c VOLATILE STRICT COST 100000 ROWS 1
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.forget_history(text, timestamptz) IS
    'Forgets a repository''s commits from before a time, but those that branches and tags name and those where lines that stay part. The others keep their state, and what no version has any more is deleted. onyx.ingest_git does not bring them back. Returns how much less there is, contents and bytes of contents too';

CREATE FUNCTION onyx.forget(repo text, before timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE STRICT COST 100000
BEGIN ATOMIC
    SELECT f.commits FROM onyx.forget_history(repo, before) f;
END;
COMMENT ON FUNCTION onyx.forget(text, timestamptz) IS
    'Forgets a repository''s history before a time, see onyx.forget_history; returns how many commits';

CREATE VIEW onyx.stat_history AS
    SELECT r.name AS repo, c.commits, b.branches, t.tags, f.file_versions, s.symbol_versions, o.contents,
           f.raw_bytes, o.distinct_bytes, o.text_bytes, o.facts_bytes,
           c.row_bytes + p.row_bytes + f.row_bytes + s.row_bytes + n.row_bytes + w.row_bytes + o.row_bytes AS row_bytes,
           o.text_bytes + o.facts_bytes + c.row_bytes + p.row_bytes + f.row_bytes + s.row_bytes + n.row_bytes
               + w.row_bytes + o.row_bytes AS stored_bytes
    FROM onyx.repos r
    CROSS JOIN LATERAL (
        SELECT count(*) AS commits,
               (coalesce(sum(60 + pg_column_size(c.author_name) + pg_column_size(c.author_email)
                             + pg_column_size(c.committer_name) + pg_column_size(c.committer_email)
                             + pg_column_size(c.message) + coalesce(pg_column_size(c.git_hash), 0)), 0)
                + 44 * (SELECT count(*) FROM onyx.commits d JOIN onyx.commit_parents p ON p.commit_id = d.id
                        WHERE d.repo_id = r.id))::bigint AS row_bytes
        FROM onyx.commits c WHERE c.repo_id = r.id) c
    CROSS JOIN LATERAL (SELECT count(*) AS branches FROM onyx.branches b WHERE b.repo_id = r.id) b
    CROSS JOIN LATERAL (SELECT count(*) AS tags FROM onyx.tags t WHERE t.repo_id = r.id) t
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(48 + pg_column_size(p.path)), 0)::bigint AS row_bytes
        FROM onyx.paths p WHERE p.repo_id = r.id) p
    CROSS JOIN LATERAL (
        SELECT count(*) AS file_versions, coalesce(sum(o.size::bigint), 0)::bigint AS raw_bytes,
               coalesce(sum(52 + pg_column_size(v.change) + pg_column_size(v.module) + pg_column_size(v.nodes)), 0)::bigint
                   AS row_bytes
        FROM onyx.commits c
        JOIN onyx.file_versions v ON v.commit_id = c.id
        LEFT JOIN onyx.contents o ON o.id = v.content_id
        WHERE c.repo_id = r.id) f
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(n.symbols), 0)::bigint AS symbol_versions,
               coalesce(sum(36 + pg_column_size(v.symbols)), 0)::bigint AS row_bytes
        FROM onyx.commits c
        JOIN onyx.symbol_changes v ON v.commit_id = c.id
        CROSS JOIN LATERAL (SELECT count(*) AS symbols FROM onyx.decode_symbols(v.symbols)) n
        WHERE c.repo_id = r.id) s
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(40 + pg_column_size(n.kind) + pg_column_size(n.name) + pg_column_size(n.qualified_name)), 0)::bigint
                   AS row_bytes
        FROM onyx.symbol_names n WHERE n.repo_id = r.id) n
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(40 + pg_column_size(w.search_text) + coalesce(pg_column_size(w.lexemes), 0)), 0)::bigint AS row_bytes
        FROM onyx.search_texts w WHERE w.repo_id = r.id) w
    CROSS JOIN LATERAL (
        SELECT count(*) AS contents, coalesce(sum(o.size::bigint), 0)::bigint AS distinct_bytes,
               coalesce(sum(pg_column_size(o.text)), 0)::bigint AS text_bytes,
               coalesce(sum(pg_column_size(o.facts)), 0)::bigint AS facts_bytes,
               coalesce(sum(58 + pg_column_size(o.language) + pg_column_size(o.hash)
                            + coalesce(pg_column_size(o.text_hash), 0)), 0)::bigint AS row_bytes
        FROM onyx.contents o WHERE o.repo_id = r.id) o;
COMMENT ON VIEW onyx.stat_history IS
    'Size of every repository''s history. It reads all of their rows, which takes some seconds for a million; one repository is read alone when it is asked for by name';
COMMENT ON COLUMN onyx.stat_history.file_versions IS 'Changes of files: one a commit and path';
COMMENT ON COLUMN onyx.stat_history.symbol_versions IS 'Changes of nodes that are recorded; see onyx.implied_versions for those that are not';
COMMENT ON COLUMN onyx.stat_history.contents IS 'Distinct contents of files';
COMMENT ON COLUMN onyx.stat_history.raw_bytes IS 'Bytes of the files of all file versions, each version counted';
COMMENT ON COLUMN onyx.stat_history.distinct_bytes IS 'Bytes of the files, each content counted once';
COMMENT ON COLUMN onyx.stat_history.text_bytes IS 'Bytes that the contents'' texts take, compressed';
COMMENT ON COLUMN onyx.stat_history.facts_bytes IS 'Bytes that the contents'' definitions take, compressed';
COMMENT ON COLUMN onyx.stat_history.row_bytes IS
    'Bytes of all other rows of history, estimated from their columns'' sizes with 28 bytes a row for its header and pointer; without indexes, free space and dead rows';
COMMENT ON COLUMN onyx.stat_history.stored_bytes IS 'text_bytes, facts_bytes and row_bytes together';

-- What counts

CREATE FUNCTION onyx.counted_commits(
    repo text DEFAULT NULL, branch text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (
    repo_id bigint, repo_name text, commit_id integer, author text, author_name text, committed_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE COST 1000 ROWS 1000
BEGIN ATOMIC
    -- Materialized, or a join may ask for the ancestors once a row.
    WITH counted AS MATERIALIZED (
        SELECT r.id AS repo_id, r.name, c.id,
               CASE WHEN c.author_email <> '' THEN pg_catalog.lower(c.author_email) ELSE c.author_name END AS author,
               c.author_name, c.committed_at
        FROM onyx.repos r
        JOIN onyx.branches b ON b.repo_id = r.id
        CROSS JOIN LATERAL onyx.ancestors(b.commit_id) a (id)
        JOIN onyx.commits c ON c.id = a.id
        WHERE (repo IS NULL OR r.name = repo)
          AND CASE WHEN branch IS NULL THEN b.is_default ELSE b.name = branch END
          AND (since IS NULL OR c.committed_at >= since)
          AND (until IS NULL OR c.committed_at <= until)
          AND NOT EXISTS (SELECT FROM onyx.commit_parents p WHERE p.commit_id = c.id AND p.ordinal > 0)
    )
    SELECT * FROM counted;
END;
COMMENT ON FUNCTION onyx.counted_commits(text, text, timestamptz, timestamptz) IS
    'Commits that measures of history count: those a branch (by default each repository''s default branch) reaches along all parents, in a span of their committers'' times, without merges, whose changes are those of what they merge. Weakness: what a merge changes by itself, such as resolved conflicts, is not counted; an author is an address, so one person with two is two';

CREATE FUNCTION onyx.node_changes(
    repo text DEFAULT NULL, branch text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (
    repo_id bigint, repo_name text, node_id bigint, commit_id integer, kind text, change text, lines_added integer,
    lines_removed integer, author text, author_name text, committed_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE COST 1000 ROWS 10000
BEGIN ATOMIC
    SELECT c.repo_id, c.repo_name, v.node_id, c.commit_id, m.kind, v.change, v.lines_added, v.lines_removed, c.author,
           c.author_name, c.committed_at
    FROM onyx.counted_commits(repo, branch, since, until) c
    JOIN onyx.symbol_versions v ON v.commit_id = c.commit_id
    JOIN onyx.symbol_names m ON m.id = v.name_id
    UNION ALL
    SELECT c.repo_id, c.repo_name, v.node_id, c.commit_id, v.kind, 'created', v.lines, 0, c.author, c.author_name,
           c.committed_at
    FROM onyx.counted_commits(repo, branch, since, until) c
    JOIN onyx.implied_versions v ON v.commit_id = c.commit_id;
END;
COMMENT ON FUNCTION onyx.node_changes(text, text, timestamptz, timestamptz) IS
    'Versions of files and symbols by the commits of onyx.counted_commits';

-- Churn

CREATE FUNCTION onyx.symbol_churn(
    repo text DEFAULT NULL, branch text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (
    repo_name text, node_id bigint, kind text, qualified_name text, path text, changes bigint, lines_added bigint,
    lines_removed bigint, authors bigint, first_change timestamptz, last_change timestamptz, is_deleted boolean)
LANGUAGE sql STABLE PARALLEL SAFE COST 10000 ROWS 10000
BEGIN ATOMIC
    SELECT g.repo_name, g.node_id, coalesce(m.kind, n.kind), coalesce(m.qualified_name, n.qualified_name),
           coalesce(p.path, f.path), g.changes, g.lines_added, g.lines_removed, g.authors, g.first_change, g.last_change,
           coalesce(l.change = 'deleted', false)
    FROM (SELECT c.repo_name, c.node_id, count(*) AS changes, sum(c.lines_added) AS lines_added,
                 sum(c.lines_removed) AS lines_removed, count(DISTINCT c.author) AS authors,
                 min(c.committed_at) AS first_change, max(c.committed_at) AS last_change, max(c.commit_id) AS last
          FROM onyx.node_changes(repo, branch, since, until) c
          WHERE c.kind <> 'file'
          GROUP BY c.repo_name, c.node_id) g
    LEFT JOIN onyx.symbol_versions l ON l.node_id = g.node_id AND l.commit_id = g.last
    LEFT JOIN onyx.symbol_names m ON m.id = l.name_id
    LEFT JOIN onyx.paths p ON p.id = l.path_id
    LEFT JOIN onyx.nodes n ON l.node_id IS NULL AND n.id = g.node_id
    LEFT JOIN onyx.files f ON f.id = n.file_id;
END;
COMMENT ON FUNCTION onyx.symbol_churn(text, text, timestamptz, timestamptz) IS
    'How often symbols change: commits of onyx.counted_commits that created, changed or deleted a symbol, lines those added to and removed from its text, and their authors. Names are those after the last of these. Weakness: a reformatting counts like any change, and where lineage takes a symbol for a new one its past is another symbol''s';

CREATE VIEW onyx.symbol_churn WITH (security_invoker) AS SELECT * FROM onyx.symbol_churn();
COMMENT ON VIEW onyx.symbol_churn IS
    'How often symbols change, in all of the default branches'' history; definition and weakness are those of the function of that name';

CREATE FUNCTION onyx.file_churn(
    repo text DEFAULT NULL, branch text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (
    repo_name text, node_id bigint, path text, changes bigint, lines_added bigint, lines_removed bigint, authors bigint,
    first_change timestamptz, last_change timestamptz, is_deleted boolean)
LANGUAGE sql STABLE PARALLEL SAFE COST 10000 ROWS 1000
BEGIN ATOMIC
    SELECT g.repo_name, g.node_id, coalesce(p.path, f.path), g.changes, g.lines_added, g.lines_removed, g.authors,
           g.first_change, g.last_change, coalesce(l.change = 'deleted', false)
    FROM (SELECT c.repo_name, c.node_id, count(*) AS changes, sum(c.lines_added) AS lines_added,
                 sum(c.lines_removed) AS lines_removed, count(DISTINCT c.author) AS authors,
                 min(c.committed_at) AS first_change, max(c.committed_at) AS last_change, max(c.commit_id) AS last
          FROM onyx.node_changes(repo, branch, since, until) c
          WHERE c.kind = 'file'
          GROUP BY c.repo_name, c.node_id) g
    LEFT JOIN onyx.symbol_versions l ON l.node_id = g.node_id AND l.commit_id = g.last
    LEFT JOIN onyx.paths p ON p.id = l.path_id
    LEFT JOIN onyx.nodes n ON l.node_id IS NULL AND n.id = g.node_id
    LEFT JOIN onyx.files f ON f.id = n.file_id;
END;
COMMENT ON FUNCTION onyx.file_churn(text, text, timestamptz, timestamptz) IS
    'How often source files change: commits of onyx.counted_commits that added, changed, renamed or deleted a file, lines those added and removed, and their authors. A file keeps its row through renames. Weakness: a reformatting counts like any change, and a rename with much rewriting may be taken for another file';

CREATE VIEW onyx.file_churn WITH (security_invoker) AS SELECT * FROM onyx.file_churn();
COMMENT ON VIEW onyx.file_churn IS
    'How often source files change, in all of the default branches'' history; definition and weakness are those of the function of that name';

-- Age

CREATE VIEW onyx.symbol_age WITH (security_invoker) AS
    SELECT c.repo_name, c.node_id, n.kind, n.qualified_name, f.path, c.first_change AS created_at,
           c.last_change AS changed_at, pg_catalog.now() - c.first_change AS age,
           pg_catalog.now() - c.last_change AS unchanged_for
    FROM onyx.symbol_churn c
    JOIN onyx.nodes n ON n.id = c.node_id
    JOIN onyx.files f ON f.id = n.file_id;
COMMENT ON VIEW onyx.symbol_age IS
    'How old the symbols of the default branches'' heads are, and since when they did not change. Weakness: the age of a symbol''s identity, not of its lines (onyx.blame has those), and no more than the history that was ingested';

CREATE VIEW onyx.file_age WITH (security_invoker) AS
    SELECT c.repo_name, c.node_id, f.path, c.first_change AS created_at, c.last_change AS changed_at,
           pg_catalog.now() - c.first_change AS age, pg_catalog.now() - c.last_change AS unchanged_for
    FROM onyx.file_churn c
    JOIN onyx.nodes n ON n.id = c.node_id
    JOIN onyx.files f ON f.id = n.file_id;
COMMENT ON VIEW onyx.file_age IS
    'How old the source files of the default branches'' heads are, and since when they did not change. Weakness: the age of a file''s identity, not of its lines (onyx.blame has those), and no more than the history that was ingested';

-- Authors and ownership

CREATE FUNCTION onyx.node_ownership(repo text, branch text, since timestamptz, until timestamptz, files boolean)
RETURNS TABLE (
    repo_name text, node_id bigint, author text, author_name text, changes bigint, lines_added bigint, share float8,
    is_main boolean)
LANGUAGE sql STABLE PARALLEL SAFE COST 10000 ROWS 10000
BEGIN ATOMIC
    SELECT g.repo_name, g.node_id, g.author, g.author_name, g.changes, g.lines_added,
           g.lines_added / nullif(sum(g.lines_added) OVER w, 0)::float8,
           row_number() OVER (PARTITION BY g.repo_name, g.node_id
                              ORDER BY g.lines_added DESC, g.changes DESC, g.author) = 1
    FROM (SELECT c.repo_name, c.node_id, c.author, max(c.author_name) AS author_name, count(*) AS changes,
                 sum(c.lines_added) AS lines_added
          FROM onyx.node_changes(repo, branch, since, until) c
          WHERE (c.kind = 'file') = files
          GROUP BY c.repo_name, c.node_id, c.author) g
    WINDOW w AS (PARTITION BY g.repo_name, g.node_id);
END;
COMMENT ON FUNCTION onyx.node_ownership(text, text, timestamptz, timestamptz, boolean) IS
    'What onyx.symbol_ownership and onyx.file_ownership are made of';

CREATE FUNCTION onyx.symbol_ownership(
    repo text DEFAULT NULL, branch text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (
    repo_name text, node_id bigint, kind text, qualified_name text, path text, author text, author_name text,
    changes bigint, lines_added bigint, share float8, is_main boolean)
LANGUAGE sql STABLE PARALLEL SAFE COST 10000 ROWS 10000
BEGIN ATOMIC
    SELECT o.repo_name, o.node_id, n.kind, n.qualified_name, f.path, o.author, o.author_name, o.changes, o.lines_added,
           o.share, o.is_main
    FROM onyx.node_ownership(repo, branch, since, until, false) o
    JOIN onyx.nodes n ON n.id = o.node_id
    JOIN onyx.files f ON f.id = n.file_id;
END;
COMMENT ON FUNCTION onyx.symbol_ownership(text, text, timestamptz, timestamptz) IS
    'Who wrote the symbols that the default branches'' heads have: by author the commits of onyx.counted_commits that changed a symbol and the share of the lines they added to it; the main author added most. Weakness: lines that others have replaced since count too (onyx.blame has those that are left), and co-authors do not';

CREATE VIEW onyx.symbol_ownership WITH (security_invoker) AS SELECT * FROM onyx.symbol_ownership();
COMMENT ON VIEW onyx.symbol_ownership IS
    'Who wrote symbols, in all of the default branches'' history; definition and weakness are those of the function of that name';

CREATE FUNCTION onyx.file_ownership(
    repo text DEFAULT NULL, branch text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (
    repo_name text, node_id bigint, path text, author text, author_name text, changes bigint, lines_added bigint,
    share float8, is_main boolean)
LANGUAGE sql STABLE PARALLEL SAFE COST 10000 ROWS 1000
BEGIN ATOMIC
    SELECT o.repo_name, o.node_id, f.path, o.author, o.author_name, o.changes, o.lines_added, o.share, o.is_main
    FROM onyx.node_ownership(repo, branch, since, until, true) o
    JOIN onyx.nodes n ON n.id = o.node_id
    JOIN onyx.files f ON f.id = n.file_id;
END;
COMMENT ON FUNCTION onyx.file_ownership(text, text, timestamptz, timestamptz) IS
    'Who wrote the source files that the default branches'' heads have: by author the commits of onyx.counted_commits that changed a file and the share of the lines they added to it; the main author added most. Weakness: lines that others have replaced since count too (onyx.blame has those that are left), and co-authors do not';

CREATE VIEW onyx.file_ownership WITH (security_invoker) AS SELECT * FROM onyx.file_ownership();
COMMENT ON VIEW onyx.file_ownership IS
    'Who wrote source files, in all of the default branches'' history; definition and weakness are those of the function of that name';

-- Hotspots

CREATE FUNCTION onyx.symbol_hotspots(
    repo text DEFAULT NULL, branch text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (
    repo_name text, node_id bigint, kind text, qualified_name text, path text, changes bigint, lines integer,
    score bigint)
LANGUAGE sql STABLE PARALLEL SAFE COST 10000 ROWS 10000
BEGIN ATOMIC
    SELECT c.repo_name, c.node_id, n.kind, n.qualified_name, f.path, c.changes, n.end_line - n.start_line + 1,
           c.changes * (n.end_line - n.start_line + 1)
    FROM onyx.symbol_churn(repo, branch, since, until) c
    JOIN onyx.nodes n ON n.id = c.node_id
    JOIN onyx.files f ON f.id = n.file_id;
END;
COMMENT ON FUNCTION onyx.symbol_hotspots(text, text, timestamptz, timestamptz) IS
    'Symbols that are large and change often: the number of changes (onyx.symbol_churn) times the lines the default branch''s head has of it. Weakness: a class counts what its members do; size stands for complexity, and what is young had no time to change';

CREATE VIEW onyx.symbol_hotspots WITH (security_invoker) AS SELECT * FROM onyx.symbol_hotspots();
COMMENT ON VIEW onyx.symbol_hotspots IS
    'Symbols that are large and change often, in all of the default branches'' history; definition and weakness are those of the function of that name';

CREATE FUNCTION onyx.file_hotspots(
    repo text DEFAULT NULL, branch text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (repo_name text, node_id bigint, path text, changes bigint, lines integer, score bigint)
LANGUAGE sql STABLE PARALLEL SAFE COST 10000 ROWS 1000
BEGIN ATOMIC
    SELECT c.repo_name, c.node_id, f.path, c.changes, f.lines, c.changes * f.lines
    FROM onyx.file_churn(repo, branch, since, until) c
    JOIN onyx.nodes n ON n.id = c.node_id
    JOIN onyx.files f ON f.id = n.file_id;
END;
COMMENT ON FUNCTION onyx.file_hotspots(text, text, timestamptz, timestamptz) IS
    'Source files that are large and change often: the number of changes (onyx.file_churn) times the lines the default branch''s head has of it. Weakness: size stands for complexity, generated files come first, and what is young had no time to change';

CREATE VIEW onyx.file_hotspots WITH (security_invoker) AS SELECT * FROM onyx.file_hotspots();
COMMENT ON VIEW onyx.file_hotspots IS
    'Source files that are large and change often, in all of the default branches'' history; definition and weakness are those of the function of that name';

-- Co-change

CREATE FUNCTION onyx.node_co_change(
    repo text, branch text, since timestamptz, until timestamptz, files boolean, max_changes integer,
    min_support integer)
RETURNS TABLE (
    repo_name text, node_id bigint, other_id bigint, support bigint, confidence float8, other_confidence float8)
LANGUAGE sql STABLE PARALLEL SAFE COST 100000 ROWS 10000
BEGIN ATOMIC
    WITH changed AS MATERIALIZED (
        -- Counted before what is gone since is left out.
        SELECT s.repo_name, s.commit_id, s.node_id
        FROM (SELECT c.repo_name, c.commit_id, c.node_id, count(*) OVER (PARTITION BY c.commit_id) AS changes
              FROM onyx.node_changes(repo, branch, since, until) c
              WHERE (c.kind = 'file') = files) s
        JOIN onyx.nodes n ON n.id = s.node_id
        WHERE s.changes <= max_changes
    ), totals AS (
        SELECT c.node_id, count(*) AS changes FROM changed c GROUP BY c.node_id
    ), pairs AS (
        SELECT a.repo_name, a.node_id, b.node_id AS other_id, count(*) AS support
        FROM changed a JOIN changed b ON b.commit_id = a.commit_id AND b.node_id > a.node_id
        GROUP BY a.repo_name, a.node_id, b.node_id
        HAVING count(*) >= min_support
    )
    SELECT p.repo_name, p.node_id, p.other_id, p.support, p.support / t.changes::float8, p.support / o.changes::float8
    FROM pairs p
    JOIN totals t ON t.node_id = p.node_id
    JOIN totals o ON o.node_id = p.other_id;
END;
COMMENT ON FUNCTION onyx.node_co_change(text, text, timestamptz, timestamptz, boolean, integer, integer) IS
    'What onyx.symbol_co_change and onyx.file_co_change are made of';

CREATE FUNCTION onyx.symbol_co_change(
    repo text DEFAULT NULL, branch text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
    max_symbols integer DEFAULT 30, min_support integer DEFAULT 2)
RETURNS TABLE (
    repo_name text, node_id bigint, qualified_name text, path text, other_id bigint, other_qualified_name text,
    other_path text, support bigint, confidence float8, other_confidence float8)
LANGUAGE sql STABLE PARALLEL SAFE COST 100000 ROWS 10000
BEGIN ATOMIC
    SELECT p.repo_name, p.node_id, n.qualified_name, f.path, p.other_id, o.qualified_name, g.path, p.support,
           p.confidence, p.other_confidence
    FROM onyx.node_co_change(repo, branch, since, until, false, max_symbols, min_support) p
    JOIN onyx.nodes n ON n.id = p.node_id
    JOIN onyx.files f ON f.id = n.file_id
    JOIN onyx.nodes o ON o.id = p.other_id
    JOIN onyx.files g ON g.id = o.file_id
    -- What contains another changes with it.
    WHERE NOT (n.file_id = o.file_id
               AND (n.start_byte <= o.start_byte AND n.end_byte >= o.end_byte
                    OR o.start_byte <= n.start_byte AND o.end_byte >= n.end_byte));
END;
COMMENT ON FUNCTION onyx.symbol_co_change(text, text, timestamptz, timestamptz, integer, integer) IS
    'Pairs of symbols of the default branches'' heads, neither within the other, that the same commits of onyx.counted_commits changed: support is how many; confidence is its share of the changes of the first, other_confidence of the second. Commits that change more than max_symbols symbols are left out of both. Weakness: chance pairs are many where support is small, and work spread over several commits is not seen';

CREATE VIEW onyx.symbol_co_change WITH (security_invoker) AS SELECT * FROM onyx.symbol_co_change();
COMMENT ON VIEW onyx.symbol_co_change IS
    'Pairs of symbols that change together, in all of the default branches'' history, without commits of more than 30 symbols; definition and weakness are those of the function of that name';

CREATE FUNCTION onyx.file_co_change(
    repo text DEFAULT NULL, branch text DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
    max_files integer DEFAULT 30, min_support integer DEFAULT 2)
RETURNS TABLE (
    repo_name text, node_id bigint, path text, other_id bigint, other_path text, support bigint, confidence float8,
    other_confidence float8)
LANGUAGE sql STABLE PARALLEL SAFE COST 100000 ROWS 1000
BEGIN ATOMIC
    SELECT p.repo_name, p.node_id, f.path, p.other_id, g.path, p.support, p.confidence, p.other_confidence
    FROM onyx.node_co_change(repo, branch, since, until, true, max_files, min_support) p
    JOIN onyx.nodes n ON n.id = p.node_id
    JOIN onyx.files f ON f.id = n.file_id
    JOIN onyx.nodes o ON o.id = p.other_id
    JOIN onyx.files g ON g.id = o.file_id;
END;
COMMENT ON FUNCTION onyx.file_co_change(text, text, timestamptz, timestamptz, integer, integer) IS
    'Pairs of source files of the default branches'' heads that the same commits of onyx.counted_commits changed: support is how many; confidence is its share of the changes of the first, other_confidence of the second. Commits that change more than max_files files are left out of both. Weakness: chance pairs are many where support is small, and work spread over several commits is not seen';

CREATE VIEW onyx.file_co_change WITH (security_invoker) AS SELECT * FROM onyx.file_co_change();
COMMENT ON VIEW onyx.file_co_change IS
    'Pairs of source files that change together, in all of the default branches'' history, without commits of more than 30 files; definition and weakness are those of the function of that name';

-- Dead symbols

CREATE VIEW onyx.dead_symbols WITH (security_invoker) AS
    WITH unresolved AS MATERIALIZED (
        SELECT u.repo_id, u.source_id, u.kind, u.reason, pg_catalog.regexp_replace(u.name, '^.*[.:]', '') AS name
        FROM onyx.references_unresolved u
        WHERE u.kind IN ('inherits', 'implements') OR u.reason IN ('dynamic', 'ambiguous', 'unresolved')
    ), named AS MATERIALIZED (
        SELECT DISTINCT u.repo_id, u.name FROM unresolved u WHERE u.reason IN ('dynamic', 'ambiguous', 'unresolved')
    ), based AS MATERIALIZED (
        SELECT DISTINCT u.source_id FROM unresolved u WHERE u.kind IN ('inherits', 'implements')
    )
    SELECT r.name AS repo_name, n.id AS node_id, n.kind, n.qualified_name, f.path, n.start_line,
           n.end_line - n.start_line + 1 AS lines,
           pg_catalog.array_remove(ARRAY[
               CASE WHEN n.visibility = 'public' OR 'exported' = ANY (n.attributes) THEN 'exported' END,
               CASE WHEN n.name IN ('main', '__main__') OR n.name = 'init' AND n.language = 'go' THEN 'entry point' END,
               CASE WHEN n.name ~ '^(test|Test|bench|Bench|Example|Fuzz)'
                         OR f.path ~ '(^|/)(tests?|__tests__|testing|testdata|spec|benches|examples)/|(^|[/_.])(test|tests|spec|conftest)[_.]|_test\.'
                         OR EXISTS (SELECT FROM pg_catalog.unnest(n.attributes) a (word) WHERE a.word ~* '(^|[:.])test|cfg\(test')
                    THEN 'test' END,
               CASE WHEN n.name ~ '^__.*__$' THEN 'special name' END,
               CASE WHEN EXISTS (
                        SELECT FROM pg_catalog.unnest(n.attributes) a (word)
                        WHERE a.word !~ '^(exported|default|async|generator|static|unsafe|const|final|abstract|synchronized|strictfp|native|sealed|readonly|declare|override|extern|track_caller|cold|test|(derive|inline|cfg|cfg_attr|allow|expect|warn|deny|must_use|doc|deprecated|repr)(\M.*)?)$')
                    THEN 'decorated' END,
               CASE WHEN EXISTS (SELECT FROM onyx.links l WHERE l.source_id = n.id AND l.kind = 'overrides')
                    THEN 'overrides' END,
               CASE WHEN EXISTS (SELECT FROM based b WHERE b.source_id IN (n.id, n.parent_id)) THEN 'outside base' END,
               CASE WHEN EXISTS (SELECT FROM named u WHERE u.repo_id = n.repo_id AND u.name = n.name)
                    THEN 'unresolved name' END
           ], NULL) AS doubts
    FROM onyx.nodes n
    JOIN onyx.repos r ON r.id = n.repo_id
    JOIN onyx.files f ON f.id = n.file_id
    WHERE n.origin = 'source'
      AND n.kind IN ('function', 'method', 'class', 'struct', 'union', 'record', 'interface', 'trait', 'enum', 'type_alias', 'macro')
      AND NOT EXISTS (
          SELECT FROM onyx.links l JOIN onyx.nodes s ON s.id = l.source_id
          WHERE l.target_id = n.id
            AND (s.file_id = n.file_id AND s.start_byte >= n.start_byte AND s.end_byte <= n.end_byte) IS NOT TRUE)
      AND NOT EXISTS (
          SELECT FROM onyx.nodes m
          JOIN onyx.links l ON l.target_id = m.id
          JOIN onyx.nodes s ON s.id = l.source_id
          WHERE m.parent_id = n.id AND n.kind NOT IN ('function', 'method', 'macro')
            AND (s.file_id = n.file_id AND s.start_byte >= n.start_byte AND s.end_byte <= n.end_byte) IS NOT TRUE);
COMMENT ON VIEW onyx.dead_symbols IS
    'Functions, methods and types of the heads that nothing outside of them refers to, nor to what they contain: no edge in onyx.links ends there. Weakness: an edge that was not found is not there; doubts say what speaks for such a use, and where there are none code that builds names at run time may still reach the symbol';
COMMENT ON COLUMN onyx.dead_symbols.doubts IS
    'Why it may be used all the same. exported: other programs can see it. entry point: something starts it by name. test: a test runner finds it. special name: the language calls it, as __len__. decorated: a decorator, annotation or attribute may register it. overrides: it is called through what it overrides. outside base: it or its type inherits from what was not ingested, which may call it. unresolved name: references of this name are not resolved';

-- Interfaces

CREATE FUNCTION onyx.public_nodes(repo text, at text)
RETURNS TABLE (id bigint, kind text, name text, qualified_name text, path text, signature text, is_public boolean)
LANGUAGE sql STABLE PARALLEL SAFE COST 100000 ROWS 10000
BEGIN ATOMIC
    WITH RECURSIVE nodes AS MATERIALIZED (
        SELECT n.id, n.parent_id, n.kind, n.name, n.qualified_name, n.path, n.signature, n.visibility
        FROM onyx.nodes_as_of(repo, at) n
    ), public AS (
        SELECT n.id, n.kind FROM nodes n WHERE n.kind = 'file'
        UNION ALL
        SELECT n.id, n.kind FROM public p JOIN nodes n ON n.parent_id = p.id
        WHERE n.visibility = 'public' AND p.kind NOT IN ('function', 'method', 'constructor')
    )
    SELECT n.id, n.kind, n.name, n.qualified_name, n.path, n.signature, p.id IS NOT NULL
    FROM nodes n
    LEFT JOIN public p ON p.id = n.id
    WHERE n.kind NOT IN ('repository', 'directory', 'file', 'impl');
END;
COMMENT ON FUNCTION onyx.public_nodes(text, text) IS
    'Definitions of a commit, and whether they are public with all that they are in';

CREATE FUNCTION onyx.api_changes(repo text, from_at text, to_at text DEFAULT NULL)
RETURNS TABLE (
    changes text[], node_id bigint, kind text, from_qualified_name text, to_qualified_name text, from_path text,
    to_path text, from_signature text, to_signature text)
LANGUAGE sql STABLE PARALLEL SAFE COST 1000000 ROWS 100
BEGIN ATOMIC
    SELECT c.changes, coalesce(c.to_id, c.from_id), c.kind, c.from_qualified_name, c.to_qualified_name, c.from_path,
           c.to_path, c.from_signature, c.to_signature
    FROM (SELECT o.id AS from_id, n.id AS to_id, coalesce(n.kind, o.kind) AS kind,
                 o.qualified_name AS from_qualified_name, n.qualified_name AS to_qualified_name,
                 o.path AS from_path, n.path AS to_path, o.signature AS from_signature, n.signature AS to_signature,
                 CASE WHEN o.id IS NULL THEN '{added}'::text[]
                      WHEN n.id IS NULL THEN '{removed}'::text[]
                      WHEN NOT o.is_public THEN '{exposed}'::text[]
                      WHEN NOT n.is_public THEN '{hidden}'::text[]
                      ELSE pg_catalog.array_remove(ARRAY[
                          CASE WHEN o.name <> n.name THEN 'renamed' END,
                          CASE WHEN o.path <> n.path
                                    OR pg_catalog.left(o.qualified_name, -pg_catalog.length(o.name))
                                       <> pg_catalog.left(n.qualified_name, -pg_catalog.length(n.name))
                               THEN 'moved' END,
                          CASE WHEN o.kind <> n.kind
                                    OR pg_catalog.replace(o.signature, o.name, n.name) <> n.signature
                               THEN 'signature' END], NULL)
                 END AS changes
          FROM onyx.public_nodes(repo, from_at) o
          FULL JOIN onyx.public_nodes(repo, to_at) n ON n.id = o.id
          WHERE coalesce(o.is_public, false) OR coalesce(n.is_public, false)) c
    WHERE c.changes <> '{}'
    ORDER BY coalesce(c.to_path, c.from_path) COLLATE "C", coalesce(c.to_qualified_name, c.from_qualified_name) COLLATE "C",
             coalesce(c.to_id, c.from_id);
END;
COMMENT ON FUNCTION onyx.api_changes(text, text, text) IS
    'What differs between the public definitions of two commits (see onyx.commit_at; to_at is by default the head): added, removed, exposed (it was not public), hidden (it is not any more), or any of renamed, moved (other file or container) and signature (declaration or kind, apart from its name). Public is what is public with all that it is in. Weakness: re-exports and the visibility of modules in other files are not followed, a change of behaviour is none, and lineage decides what is a rename';
