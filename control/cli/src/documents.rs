//! The documents of `-f`, joined into one, and the way back from a field to its file.

use anyhow::{Context, bail};
use program::MAX_DOCUMENT;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Several documents as one, which is taken or refused whole.
pub(crate) struct Documents {
    /// A JSON array of all programs.
    text: String,
    sources: Vec<Source>,
}

struct Source {
    name: String,
    /// Whether it is an array; else it is one program.
    array: bool,
    programs: usize,
}

impl Documents {
    /// Reads every file, every `*.json` of every directory, and the standard input for `-`.
    pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut all = Self {
            text: String::from("["),
            sources: Vec::new(),
        };
        for path in paths {
            if path.as_os_str() == "-" {
                let text = bounded(std::io::stdin().lock()).context("the standard input")?;
                all.add("standard input", &text)?;
            } else if path.is_dir() {
                for path in listed(path)? {
                    all.add_file(&path)?;
                }
            } else {
                all.add_file(path)?;
            }
        }
        all.text.push(']');
        Ok(all)
    }

    /// The one document.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where `field` of the one document, such as `[12].mac`, is in the files: `red.json: [2].mac`.
    pub(crate) fn place(&self, field: &str) -> String {
        let index = field
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .and_then(|(index, rest)| Some((index.parse::<usize>().ok()?, rest)));
        let Some((mut index, rest)) = index else {
            return field.to_owned();
        };
        for source in &self.sources {
            if index < source.programs {
                let field = if source.array {
                    format!("[{index}]{rest}")
                } else {
                    rest.trim_start_matches('.').to_owned()
                };
                let colon = if field.is_empty() { "" } else { ": " };
                return format!("{}{colon}{field}", source.name);
            }
            index -= source.programs;
        }
        field.to_owned()
    }

    fn add_file(&mut self, path: &Path) -> anyhow::Result<()> {
        let name = path.display().to_string();
        let file = std::fs::File::open(path).with_context(|| name.clone())?;
        let text = bounded(file).with_context(|| name.clone())?;
        self.add(&name, &text)
    }

    fn add(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        let programs = match program::read(text.as_bytes()) {
            Ok(programs) => programs.len(),
            Err(error) if error.field().is_empty() => bail!("{name}: {error}"),
            Err(error) => bail!("{name}: {}: {error}", error.field()),
        };
        let text = text.trim();
        let array = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        self.sources.push(Source {
            name: name.to_owned(),
            array: array.is_some(),
            programs,
        });
        if programs > 0 {
            if self.text.len() > 1 {
                self.text.push(',');
            }
            self.text.push_str(array.unwrap_or(text));
        }
        Ok(())
    }
}

/// Reads all of it, up to one byte more than a document may have.
fn bounded(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    let limit = u64::try_from(MAX_DOCUMENT).unwrap_or(u64::MAX);
    from.take(limit + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Every `*.json` in a directory, by name.
fn listed(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = || path.display().to_string();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(name)? {
        let file = entry.with_context(name)?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(file);
        }
    }
    if files.is_empty() {
        bail!("{}: no *.json in this directory", path.display());
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: &str = r#"{"version": 1, "kind": "network", "name": "red", "vnet": 1}"#;

    fn port(name: &str) -> String {
        format!(
            r#"{{"version":1,"kind":"port","name":"{name}","vnet":1,"interface":"{name}","mac":"any"}}"#
        )
    }

    #[test]
    fn files_are_joined_and_a_field_finds_its_file_again() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
        write("1-red.json", RED);
        write("2-none.json", " [] \n");
        write(
            "3-ports.json",
            &format!("[{},\n{}]\n", port("a"), port("b")),
        );
        write("notes.txt", "not looked at");
        let documents = Documents::read(&[place.path().to_owned()]).unwrap();

        let programs = program::read(documents.text().as_bytes()).unwrap();
        let names: Vec<_> = programs.iter().map(|(_, p)| p.id().to_string()).collect();
        assert_eq!(names, ["network red", "port a", "port b"]);
        let path = |name: &str| place.path().join(name).display().to_string();
        assert_eq!(
            documents.place("[0].vnet"),
            format!("{}: vnet", path("1-red.json"))
        );
        assert_eq!(
            documents.place("[2].mac"),
            format!("{}: [1].mac", path("3-ports.json"))
        );
        assert_eq!(documents.place("[0]"), path("1-red.json"));
        assert_eq!(documents.place(""), "");
    }

    #[test]
    fn a_document_that_cannot_be_read_names_file_and_field() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("bad.json");
        std::fs::write(&path, RED.replace("\"vnet\": 1", "\"vnet\": -1")).unwrap();
        let Err(error) = Documents::read(&[path]) else {
            panic!("it was read")
        };
        assert!(error.to_string().contains("bad.json: vnet: "), "{error}");
        let Err(error) = Documents::read(&[place.path().join("none.json")]) else {
            panic!("it was read")
        };
        assert!(error.to_string().contains("none.json"), "{error}");
    }

    #[test]
    fn a_directory_without_documents_is_a_mistake() {
        let place = tempfile::tempdir().unwrap();
        assert!(Documents::read(&[place.path().to_owned()]).is_err());
    }
}
