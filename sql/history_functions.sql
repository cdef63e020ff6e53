-- What is asked of history, and what makes it.

CREATE FUNCTION onyx.ingest_git_step(
    repo text, path text, branches text[], since timestamptz, until timestamptz, first_parent boolean,
    max_commits integer, OUT commits bigint, OUT more boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ingest_git_step_wrapper' LANGUAGE c VOLATILE COST 100000 ROWS 1
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.ingest_git_step(text, text, text[], timestamptz, timestamptz, boolean, integer) IS
    'A part of onyx.ingest_git: about so many commits; whether there are more';

-- No SET here: a procedure with one may not commit. So its body names nothing that a caller's search_path could
-- change: no operator, and functions with their schema.
CREATE PROCEDURE onyx.ingest_git(
    repo text, path text, branches text[] DEFAULT NULL, since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL, first_parent boolean DEFAULT false,
    commits_per_transaction integer DEFAULT 500, INOUT commits bigint DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
    more boolean;
BEGIN
    LOOP
        SELECT s.commits, s.more INTO commits, more
        FROM onyx.ingest_git_step(
            ingest_git.repo, ingest_git.path, ingest_git.branches, ingest_git.since, ingest_git.until,
            coalesce(ingest_git.first_parent, false), coalesce(commits_per_transaction, 500)) s;
        IF commits_per_transaction IS NOT NULL THEN
            COMMIT;
        END IF;
        EXIT WHEN more IS NOT TRUE;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE onyx.ingest_git(text, text, text[], timestamptz, timestamptz, boolean, integer, bigint) IS
    'Ingests a git repository of the server with its history, or what is new of it, and commits as it goes: call it outside a transaction block, or with commits_per_transaction => NULL; needs pg_read_server_files';

CREATE FUNCTION onyx.commit_at(repo text, at text DEFAULT NULL) RETURNS integer
AS 'MODULE_PATHNAME', 'commit_at_wrapper' LANGUAGE c STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION onyx.commit_at(text, text) IS
    'Row of onyx.commits that a branch, a tag, the first digits of a git hash, #id, a time (of the default branch) or branch@{time} names; by default the default branch''s head';

CREATE FUNCTION onyx.commit_at(repo text, at timestamptz) RETURNS integer
AS 'MODULE_PATHNAME', 'commit_at_time_wrapper' LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION onyx.commit_at(text, timestamptz) IS
    'Row of onyx.commits that was the default branch''s head at a time';

CREATE FUNCTION onyx.nodes_as_of(repo text, at text DEFAULT NULL)
RETURNS TABLE (
    id bigint, repo_id bigint, path text, parent_id bigint, kind text, name text, qualified_name text,
    language text, visibility text, signature text, doc text, attributes text[], ordinal integer,
    start_byte integer, end_byte integer, start_line integer, end_line integer, content_hash bytea)
AS 'MODULE_PATHNAME', 'onyx_nodes_as_of' LANGUAGE c STABLE PARALLEL SAFE COST 10000 ROWS 10000;
COMMENT ON FUNCTION onyx.nodes_as_of(text, text) IS
    'Nodes of a repository as they were at a commit: those a clean ingest of that checkout gives';

CREATE FUNCTION onyx.nodes_as_of(repo text, at timestamptz)
RETURNS TABLE (
    id bigint, repo_id bigint, path text, parent_id bigint, kind text, name text, qualified_name text,
    language text, visibility text, signature text, doc text, attributes text[], ordinal integer,
    start_byte integer, end_byte integer, start_line integer, end_line integer, content_hash bytea)
LANGUAGE sql STABLE PARALLEL SAFE COST 10000 ROWS 10000
BEGIN ATOMIC
    SELECT * FROM onyx.nodes_as_of(repo, '#' || onyx.commit_at(repo, at));
END;
COMMENT ON FUNCTION onyx.nodes_as_of(text, timestamptz) IS
    'Nodes of a repository as they were at a time on its default branch';

CREATE FUNCTION onyx.is_ancestor(ancestor integer, commit integer) RETURNS boolean
AS 'MODULE_PATHNAME', 'is_ancestor_wrapper' LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION onyx.is_ancestor(integer, integer) IS
    'Whether a commit is another''s ancestor, along all parents, or that commit itself';

CREATE FUNCTION onyx.version_at(node bigint, at text DEFAULT NULL)
RETURNS TABLE (
    commit_id integer, path text, kind text, name text, qualified_name text, signature text, doc text,
    start_byte integer, end_byte integer, start_line integer, end_line integer, content_hash bytea)
AS 'MODULE_PATHNAME', 'version_at_wrapper' LANGUAGE c STABLE PARALLEL SAFE COST 1000 ROWS 1;
COMMENT ON FUNCTION onyx.version_at(bigint, text) IS
    'A node as it was at a commit (see onyx.commit_at); commit_id is the commit that last changed its file; no row when it was not there';

CREATE FUNCTION onyx.version_at(node bigint, at timestamptz)
RETURNS TABLE (
    commit_id integer, path text, kind text, name text, qualified_name text, signature text, doc text,
    start_byte integer, end_byte integer, start_line integer, end_line integer, content_hash bytea)
LANGUAGE sql STABLE PARALLEL SAFE COST 1000 ROWS 1
BEGIN ATOMIC
    SELECT * FROM onyx.version_at(node, at::text);
END;
COMMENT ON FUNCTION onyx.version_at(bigint, timestamptz) IS 'A node as it was at a time on the default branch';

CREATE FUNCTION onyx.content_at(node bigint, at text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'content_at_wrapper' LANGUAGE c STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION onyx.content_at(bigint, text) IS
    'Source text of a node as it was at a commit (see onyx.commit_at), its hash checked; NULL when it was not there';

CREATE FUNCTION onyx.content_at(node bigint, at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE COST 1000
RETURN onyx.content_at(node, at::text);
COMMENT ON FUNCTION onyx.content_at(bigint, timestamptz) IS 'Source text of a node as it was at a time on the default branch';

CREATE FUNCTION onyx.history(node bigint, at text DEFAULT NULL)
RETURNS TABLE (
    commit_id integer, git_hash text, change text, kind text, name text, qualified_name text, path text,
    lines integer, lines_added integer, lines_removed integer, body_changed boolean, similarity real,
    author_name text, author_email text, authored_at timestamptz, committed_at timestamptz, message text)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10 COST 1000
-- To plan it takes several times as long as to run it.
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    goal integer;
BEGIN
    IF at IS NOT NULL THEN
        goal := (
            SELECT onyx.commit_at(r.name, at) FROM onyx.repos r
            WHERE r.id = coalesce(
                (SELECT n.repo_id FROM onyx.nodes n WHERE n.id = node),
                (SELECT c.repo_id FROM onyx.node_versions(node) v JOIN onyx.commits c ON c.id = v.commit_id
                 LIMIT 1)));
    END IF;
    RETURN QUERY
        SELECT v.commit_id, encode(c.git_hash, 'hex'), v.change, m.kind, m.name, m.qualified_name, p.path, v.lines,
               v.lines_added, v.lines_removed, v.body_changed, v.similarity, c.author_name, c.author_email,
               c.authored_at, c.committed_at, c.message
        FROM onyx.node_versions(node) v
        JOIN onyx.symbol_names m ON m.id = v.name_id
        JOIN onyx.paths p ON p.id = v.path_id
        JOIN onyx.commits c ON c.id = v.commit_id
        WHERE goal IS NULL OR onyx.is_ancestor(v.commit_id, goal)
        ORDER BY v.commit_id;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM onyx.node_versions(node)) THEN
        RETURN QUERY
            SELECT v.commit_id, encode(c.git_hash, 'hex'), 'created', v.kind, v.name, v.qualified_name, v.path,
                   v.lines, v.lines, 0, false, NULL::real, c.author_name, c.author_email, c.authored_at,
                   c.committed_at, c.message
            FROM onyx.first_versions v
            JOIN onyx.commits c ON c.id = v.commit_id
            WHERE v.node_id = node AND (goal IS NULL OR onyx.is_ancestor(v.commit_id, goal));
    END IF;
END
$$;
COMMENT ON FUNCTION onyx.history(bigint, text) IS
    'Versions of a node in the order they were recorded, on all branches or, given at, on the way to that commit';

-- Differences

CREATE FUNCTION onyx.diff(repo text, from_at text, to_at text DEFAULT NULL)
RETURNS TABLE (
    diff_type text, node_id bigint, kind text,
    from_path text, from_name text, from_qualified_name text, from_signature text, from_start_line integer,
    from_end_line integer, from_hash bytea,
    to_path text, to_name text, to_qualified_name text, to_signature text, to_start_line integer,
    to_end_line integer, to_hash bytea, text_diff text)
AS 'MODULE_PATHNAME', 'onyx_diff' LANGUAGE c STABLE PARALLEL SAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION onyx.diff(text, text, text) IS
    'Files and symbols that differ between two commits of a repository (see onyx.commit_at): added, removed, renamed, moved or modified, with a unified diff of the text';

CREATE FUNCTION onyx.diff(node bigint, from_at text, to_at text DEFAULT NULL)
RETURNS TABLE (
    diff_type text, node_id bigint, kind text,
    from_path text, from_name text, from_qualified_name text, from_signature text, from_start_line integer,
    from_end_line integer, from_hash bytea,
    to_path text, to_name text, to_qualified_name text, to_signature text, to_start_line integer,
    to_end_line integer, to_hash bytea, text_diff text)
AS 'MODULE_PATHNAME', 'onyx_diff_node' LANGUAGE c STABLE PARALLEL SAFE COST 1000 ROWS 1;
COMMENT ON FUNCTION onyx.diff(bigint, text, text) IS
    'How a node differs between two commits of its repository; no row when it does not';

CREATE FUNCTION onyx.blame(node bigint, at text DEFAULT NULL)
RETURNS TABLE (
    line integer, text text, commit_id integer, git_hash text, author_name text, author_email text,
    authored_at timestamptz, message text)
AS 'MODULE_PATHNAME', 'onyx_blame' LANGUAGE c STABLE PARALLEL SAFE COST 10000 ROWS 50;
COMMENT ON FUNCTION onyx.blame(bigint, text) IS
    'The commit each line of a node is from, through renames, moves and merges; message is its first line';

-- Branches, tags, merges

CREATE FUNCTION onyx.branch_create(repo text, name text, at text DEFAULT NULL) RETURNS integer
AS 'MODULE_PATHNAME', 'branch_create_wrapper' LANGUAGE c VOLATILE CALLED ON NULL INPUT
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.branch_create(text, text, text) IS
    'Makes a branch at a commit (see onyx.commit_at), by default the default branch''s head; returns the commit';

CREATE FUNCTION onyx.branch_delete(repo text, name text) RETURNS void
AS 'MODULE_PATHNAME', 'branch_delete_wrapper' LANGUAGE c VOLATILE STRICT
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.branch_delete(text, text) IS 'Deletes a branch; its commits stay';

CREATE FUNCTION onyx.checkout(repo text, branch text) RETURNS integer
AS 'MODULE_PATHNAME', 'checkout_wrapper' LANGUAGE c VOLATILE STRICT COST 100000
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.checkout(text, text) IS
    'Makes a branch the default one, whose head onyx.nodes, onyx.files and onyx.edges show; returns the commit';

CREATE FUNCTION onyx.tag_create(repo text, name text, at text DEFAULT NULL) RETURNS integer
AS 'MODULE_PATHNAME', 'tag_create_wrapper' LANGUAGE c VOLATILE CALLED ON NULL INPUT
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.tag_create(text, text, text) IS 'Names a commit (see onyx.commit_at); returns it';

CREATE FUNCTION onyx.tag_delete(repo text, name text) RETURNS void
AS 'MODULE_PATHNAME', 'tag_delete_wrapper' LANGUAGE c VOLATILE STRICT
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.tag_delete(text, text) IS 'Deletes a tag';

CREATE FUNCTION onyx.merge_base(repo text, one text, other text) RETURNS integer
AS 'MODULE_PATHNAME', 'merge_base_wrapper' LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION onyx.merge_base(text, text, text) IS
    'The latest commit that two commits both descend from; NULL when there is none';

CREATE FUNCTION onyx.merge(
    repo text, source text, into_branch text DEFAULT NULL, strategy text DEFAULT NULL, author text DEFAULT NULL,
    authored_at timestamptz DEFAULT NULL, message text DEFAULT NULL,
    OUT commit_id integer, OUT fast_forward boolean, OUT conflicts integer)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'merge_wrapper' LANGUAGE c VOLATILE COST 100000 ROWS 1
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.merge(text, text, text, text, text, timestamptz, text) IS
    'Merges a commit (see onyx.commit_at) into a branch. With conflicts it makes no commit and records them in onyx.merge_conflicts; resolve them with onyx.resolve_conflict and merge again, or give strategy ours or theirs';

CREATE FUNCTION onyx.resolve_conflict(conflict bigint, resolution text, text text DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'resolve_conflict_wrapper' LANGUAGE c VOLATILE CALLED ON NULL INPUT
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.resolve_conflict(bigint, text, text) IS
    'Decides a conflict of onyx.merge_conflicts: ours, theirs, base, or text with the text to take';

CREATE FUNCTION onyx.apply_patch(
    repo text, unified_diff text, branch text DEFAULT NULL, author text DEFAULT NULL,
    authored_at timestamptz DEFAULT NULL, message text DEFAULT NULL,
    OUT commit_id integer, OUT files_changed integer, OUT files_removed integer, OUT skipped text[])
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'apply_patch_wrapper' LANGUAGE c VOLATILE COST 100000 ROWS 1
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION onyx.apply_patch(text, text, text, text, timestamptz, text) IS
    'Commits what a unified diff changes of a branch; skipped are files of no known language. In a transaction that is rolled back it answers what-if questions';
