//! The three forms of what is printed.

use serde_json::Value;

use super::CliError;

/// The form of what is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// aligned text for people
    #[default]
    Table,
    /// YAML documents, which can be applied
    Yaml,
    /// a JSON list
    Json,
}

impl Form {
    /// Resources, or what became of them. A table has the columns that `row` gives.
    pub(super) fn of<const N: usize>(
        self,
        values: &[Value],
        titles: [&str; N],
        row: impl Fn(&Value) -> [String; N],
    ) -> Result<String, CliError> {
        match self {
            Self::Table => Ok(table(titles, values.iter().map(row).collect())),
            Self::Yaml => yaml(values),
            Self::Json => Ok(format!("{:#}\n", Value::from(values))),
        }
    }
}

/// One document for each value.
pub(super) fn yaml(values: &[Value]) -> Result<String, CliError> {
    let documents = values.iter().map(serde_yaml::to_string).collect::<Result<Vec<_>, _>>();
    let documents = documents.map_err(|error| CliError::CannotTell(format!("no YAML can say this: {error}")))?;
    Ok(documents.join("---\n"))
}

fn table<const N: usize>(titles: [&str; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rows = std::iter::once(titles.map(str::to_owned)).chain(rows).collect::<Vec<_>>();
    let widths: [usize; N] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default());
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// A text somewhere in a value, or nothing.
pub(super) fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_three_forms() {
        let values = [json!({ "kind": "Quota", "n": 1 }), json!({ "kind": "VirtualCluster" })];
        let form =
            |form: Form| form.of(&values, ["KIND", "N"], |value| [text(value, "/kind"), text(value, "/n")]).unwrap();
        assert_eq!(form(Form::Table), "KIND            N\nQuota           1\nVirtualCluster\n");
        assert_eq!(form(Form::Yaml), "kind: Quota\nn: 1\n---\nkind: VirtualCluster\n");
        assert_eq!(serde_json::from_str::<Value>(&form(Form::Json)).unwrap(), Value::from(values.to_vec()));
        assert_eq!(Form::Table.of(&[], ["KIND"], |_| [String::new()]).unwrap(), "");
    }
}
