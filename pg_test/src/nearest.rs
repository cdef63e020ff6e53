//! Nearest-neighbour queries with and without an index: an index's answers against its naive twin.

use postgres::Client;

use crate::Sql;

/// Makes a table `id int primary key, v vector(dimensions)` of pseudo-random rows, the same for the
/// same seed, with values from -1 to 1.
#[track_caller]
pub fn random_table(client: &mut Client, table: &str, dimensions: u32, rows: u32, seed: f64) {
    client.run(&format!(
        "CREATE TABLE {table} (id int PRIMARY KEY, v vector({dimensions}));
         SELECT setseed({seed});
         INSERT INTO {table}
         SELECT i, (SELECT array_agg(2 * random() - 1) FROM generate_series(1, {dimensions} + 0 * i))::vector
         FROM generate_series(1, {rows}) i;
         ANALYZE {table}"
    ));
}

/// Ids and distances by an index or, `exact`, without one. `from` is what follows FROM, up to the
/// ordering.
#[track_caller]
pub fn nearest(
    client: &mut Client,
    from: &str,
    order: &str,
    limit: usize,
    exact: bool,
) -> Vec<(i32, f64)> {
    let forced: &[&str] = if exact {
        &["enable_indexscan"]
    } else {
        &["enable_seqscan", "enable_sort", "enable_bitmapscan"]
    };
    for setting in forced {
        client.run(&format!("SET {setting} = off"));
    }
    let sql = format!("SELECT id, {order} FROM {from} ORDER BY {order} LIMIT {limit}");
    let plan = client.explain(&sql);
    let by_index = plan.contains("Order By:");
    assert_ne!(by_index, exact, "another plan than the test is about:\n{plan}");
    let rows = client
        .query(&sql, &[])
        .unwrap_or_else(|e| panic!("{}\nin: {sql}", crate::sql::describe(&e)));
    for setting in forced {
        client.run(&format!("RESET {setting}"));
    }
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Share of the exact answers' ids among an index's.
pub fn recall(found: &[(i32, f64)], exact: &[(i32, f64)]) -> f64 {
    if exact.is_empty() {
        return 1.0;
    }
    let hits = exact.iter().filter(|(id, _)| found.iter().any(|(f, _)| f == id)).count();
    hits as f64 / exact.len() as f64
}

/// The distances alone: what must be equal where several rows are equally near.
pub fn distances(rows: &[(i32, f64)]) -> Vec<f64> {
    rows.iter().map(|row| row.1).collect()
}

/// Fails when a distance is smaller than the one before it.
#[track_caller]
pub fn assert_ordered(rows: &[(i32, f64)]) {
    for pair in rows.windows(2) {
        assert!(pair[0].1 <= pair[1].1, "{:?} comes before {:?}", pair[0], pair[1]);
    }
}

/// Fails unless an index gives exactly what its table has, at an `ef_search` that makes misses
/// improbable, and `onyx.check_index` finds nothing.
#[track_caller]
pub fn assert_complete(client: &mut Client, table: &str, index: &str) {
    client.run("SET onyx.ef_search = 1000");
    for query in ["[0.1,0.2,0.3]", "[-0.9,0.4,0]", "[0.5,-0.5,0.9]", "[0,0,0]"] {
        let order = format!("v <-> '{query}'");
        let found = nearest(client, table, &order, 20, false);
        let exact = nearest(client, table, &order, 20, true);
        assert_eq!(distances(&found), distances(&exact), "{table} by {index}, nearest to {query}");
    }
    client.run("RESET onyx.ef_search");
    let problems = client.text(&format!("SELECT * FROM onyx.check_index('{index}')"));
    assert_eq!(problems, "", "check_index of {index}");
}
