//! Examples in the documentation, which tests run.

/// Statements in ```` ```sql ```` blocks, each with the answer below it: lines indented by four spaces, as
/// [`Sql::text`](crate::Sql::text) gives them.
///
/// # Panics
/// When a block has no end.
pub fn examples(page: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find("```sql\n") {
        let from = &rest[at + 7..];
        let (statement, after) = from.split_once("```\n").expect("the example's end");
        let answer: Vec<&str> = after
            .trim_start_matches('\n')
            .lines()
            .take_while(|line| line.starts_with("    "))
            .map(|line| &line[4..])
            .collect();
        found.push((statement.trim_end().trim_end_matches(';'), answer.join("\n")));
        rest = after;
    }
    found
}
