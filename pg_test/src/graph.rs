//! Random graphs, and the ways traversals of them are asked for.

use postgres::Client;

use crate::Sql;

/// Two repositories' nodes 1 to `nodes`, some in a tree, and random edges of three kinds.
pub fn random_graph(client: &mut Client, seed: f64, nodes: u32, edges: u32) {
    client.run(&format!(
        "SELECT setseed({seed});
         TRUNCATE onyx.links, onyx.nodes; DELETE FROM onyx.repos;
         INSERT INTO onyx.repos (id, name) VALUES (1, 'a'), (2, 'b');
         INSERT INTO onyx.nodes (id, repo_id, parent_id, kind, name, qualified_name, signature, doc)
         SELECT i, 1 + i % 2, CASE WHEN i % 3 = 0 THEN i / 3 END,
                (ARRAY['function', 'method', 'class'])[1 + i % 3], 'n' || i, 'm.n' || i, 'def n' || i, ''
         FROM generate_series(1, {nodes}) i ORDER BY random();
         INSERT INTO onyx.links (repo_id, source_id, target_id, kind, confidence, line, col)
         SELECT 1, 1 + floor(random() * {nodes}), 1 + floor(random() ^ 2 * {nodes}),
                (ARRAY['calls', 'references', 'imports'])[1 + floor(random() * 3)::int], random(), i, 1
         FROM generate_series(1, {edges}) i"
    ));
}

/// A role whose rows come through policies that hide nothing.
pub fn reader(client: &mut Client) {
    client.run(
        "DO $$ BEGIN CREATE ROLE policed; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         GRANT SELECT ON ALL TABLES IN SCHEMA onyx TO policed;
         ALTER TABLE onyx.nodes ENABLE ROW LEVEL SECURITY;
         ALTER TABLE onyx.links ENABLE ROW LEVEL SECURITY;
         CREATE POLICY every ON onyx.nodes TO policed USING (true);
         CREATE POLICY every ON onyx.links TO policed USING (true)",
    );
}

/// The same answer directly (the tables' owner) and by query (under policies).
///
/// # Panics
/// When they differ.
#[track_caller]
pub fn both_ways(client: &mut Client, sql: &str) -> String {
    let direct = client.text(sql);
    client.run("SET ROLE policed");
    let by_query = client.text(sql);
    client.run("RESET ROLE");
    assert_eq!(direct, by_query, "directly and by query: {sql}");
    direct
}

/// How a traversal is asked for, as SQL.
pub struct Case {
    /// The argument.
    pub direction: &'static str,
    /// The argument.
    pub edge_kinds: &'static str,
    /// The argument.
    pub node_kinds: &'static str,
    /// The argument.
    pub confidence: &'static str,
    /// The argument.
    pub depth: &'static str,
    /// The argument.
    pub repo: &'static str,
}

/// Of every kind.
pub const CASES: &[Case] = &[
    Case {
        direction: "out",
        edge_kinds: "NULL",
        node_kinds: "NULL",
        confidence: "0",
        depth: "3",
        repo: "NULL",
    },
    Case {
        direction: "in",
        edge_kinds: "NULL",
        node_kinds: "NULL",
        confidence: "0",
        depth: "4",
        repo: "NULL",
    },
    Case {
        direction: "both",
        edge_kinds: "NULL",
        node_kinds: "NULL",
        confidence: "0",
        depth: "2",
        repo: "NULL",
    },
    Case {
        direction: "out",
        edge_kinds: "'{calls}'",
        node_kinds: "NULL",
        confidence: "0.3",
        depth: "5",
        repo: "NULL",
    },
    Case {
        direction: "in",
        edge_kinds: "'{contains,calls}'",
        node_kinds: "NULL",
        confidence: "0.5",
        depth: "5",
        repo: "NULL",
    },
    Case {
        direction: "out",
        edge_kinds: "NULL",
        node_kinds: "'{function,class}'",
        confidence: "0",
        depth: "4",
        repo: "NULL",
    },
    Case {
        direction: "both",
        edge_kinds: "'{contains}'",
        node_kinds: "NULL",
        confidence: "0",
        depth: "8",
        repo: "NULL",
    },
    Case {
        direction: "out",
        edge_kinds: "NULL",
        node_kinds: "NULL",
        confidence: "0",
        depth: "6",
        repo: "'b'",
    },
    Case {
        direction: "both",
        edge_kinds: "'{references,imports}'",
        node_kinds: "'{method}'",
        confidence: "0.1",
        depth: "6",
        repo: "'a'",
    },
    Case {
        direction: "out",
        edge_kinds: "'{}'",
        node_kinds: "NULL",
        confidence: "0",
        depth: "3",
        repo: "NULL",
    },
    Case {
        direction: "out",
        edge_kinds: "NULL",
        node_kinds: "NULL",
        confidence: "0",
        depth: "0",
        repo: "NULL",
    },
];

impl Case {
    /// Edges a walk may take, from `f` to `t`, as a table expression.
    #[must_use]
    pub fn edges(&self) -> String {
        let Case { edge_kinds, node_kinds, confidence, repo, .. } = self;
        let out = "SELECT source_id AS f, target_id AS t, kind, confidence FROM onyx.edges";
        let back = "SELECT target_id AS f, source_id AS t, kind, confidence FROM onyx.edges";
        let either = match self.direction {
            "out" => out.to_string(),
            "in" => back.to_string(),
            _ => format!("{out} UNION ALL {back}"),
        };
        format!(
            "(SELECT x.* FROM ({either}) x JOIN onyx.nodes n ON n.id = x.t
              WHERE ({edge_kinds}::text[] IS NULL OR x.kind = ANY ({edge_kinds}::text[]))
                AND x.confidence >= {confidence}
                AND ({node_kinds}::text[] IS NULL OR n.kind = ANY ({node_kinds}::text[]))
                AND ({repo}::text IS NULL OR n.repo_id = (SELECT id FROM onyx.repos WHERE name = {repo}::text)))"
        )
    }

    /// Its arguments but the start.
    #[must_use]
    pub fn arguments(&self) -> String {
        let Case { direction, edge_kinds, node_kinds, confidence, depth, repo } = self;
        format!("'{direction}', {edge_kinds}, {node_kinds}, {confidence}, {depth}, NULL, {repo}")
    }
}
