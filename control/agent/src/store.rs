//! What is wanted, kept on disk: one redb file, one transaction a change.

use crate::desired::Desired;
use program::{Epoch, Id, Limits, Program};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// By id, as `kind name`: the program and its epoch, as JSON.
const PROGRAMS: TableDefinition<'_, &str, &str> = TableDefinition::new("programs");
/// By id: the epoch it had when it was withdrawn.
const WITHDRAWN: TableDefinition<'_, &str, u64> = TableDefinition::new("withdrawn");
/// Single numbers: `format` and `floor`.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

/// The version of the tables.
const FORMAT: u64 = 1;

/// Where what is wanted outlives the agent.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
}

/// Why something could not be kept or read again. What was kept before is as it was.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another agent has it open.
    #[error("{} is in use: an agent with this store runs already", .0.display())]
    InUse(PathBuf),
    /// The disk, or what is on it.
    #[error("{}: {why}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What redb says.
        why: Box<redb::Error>,
    },
    /// Written by another version of this program.
    #[error("{} has format {got}; this agent reads format {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format it names.
        got: u64,
    },
    /// A program in it is no program, or does not go with the others.
    #[error("{}: {id}: {why}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The entry.
        id: String,
        /// What is wrong with it, for a person.
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    epoch: Epoch,
    program: Program,
}

impl Store {
    /// Opens the store at `path`, or makes one that wants nothing. Returns also what is wanted.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or what is in it does not fit.
    pub fn open(path: &Path, limits: Limits) -> Result<(Self, Desired), StoreError> {
        begin(path)?;
        let database = Database::create(path).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.to_owned()),
            error => disk(path, error),
        })?;
        let store = Self {
            database,
            path: path.to_owned(),
        };
        match store.format().map_err(|error| disk(path, error))? {
            None => {
                let nothing = Desired::new(limits);
                store.keep(&nothing, &nothing)?;
                Ok((store, nothing))
            }
            Some(FORMAT) => {
                let desired = store.read(limits)?;
                Ok((store, desired))
            }
            Some(got) => Err(StoreError::Format {
                path: path.to_owned(),
                got,
            }),
        }
    }

    /// Keeps the step from `before` to `after`, whole; it is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::Disk`]; then `before` is still what is kept.
    pub fn keep(&self, before: &Desired, after: &Desired) -> Result<(), StoreError> {
        self.write(before, after)
            .map_err(|error| disk(&self.path, error))
    }

    /// Whether the epochs of a running datapath mean here what they say. A store made just now
    /// cannot know which were given before it; [`settle`](Self::settle) ends that.
    ///
    /// # Errors
    ///
    /// [`StoreError::Disk`].
    pub fn settled(&self) -> Result<bool, StoreError> {
        let read = || -> Result<bool, redb::Error> {
            let table = self.database.begin_read()?.open_table(NUMBERS)?;
            Ok(table.get("settled")?.is_some())
        };
        read().map_err(|error| disk(&self.path, error))
    }

    /// Notes that every program in force came from this store.
    ///
    /// # Errors
    ///
    /// [`StoreError::Disk`].
    pub fn settle(&self) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let write = self.database.begin_write()?;
            write.open_table(NUMBERS)?.insert("settled", 1)?;
            Ok(write.commit()?)
        };
        write().map_err(|error| disk(&self.path, error))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, before: &Desired, after: &Desired) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut table = write.open_table(PROGRAMS)?;
            for (epoch, program) in after.programs().iter() {
                let id = program.id();
                if before.programs().get(&id) != Some((epoch, program)) {
                    let program = program.clone();
                    let text = serde_json::to_string(&Kept { epoch, program });
                    let text = text.map_err(std::io::Error::other)?;
                    table.insert(id.to_string().as_str(), text.as_str())?;
                }
            }
            for (_, program) in before.programs().iter() {
                let id = program.id();
                if after.programs().get(&id).is_none() {
                    table.remove(id.to_string().as_str())?;
                }
            }
            let mut table = write.open_table(WITHDRAWN)?;
            for (id, epoch) in after.withdrawn() {
                if before.withdrawn().get(id) != Some(epoch) {
                    table.insert(key(id).as_str(), epoch.0)?;
                }
            }
            for id in before.withdrawn().keys() {
                if !after.withdrawn().contains_key(id) {
                    table.remove(key(id).as_str())?;
                }
            }
            let mut table = write.open_table(NUMBERS)?;
            table.insert("format", FORMAT)?;
            table.insert("floor", after.floor().0)?;
        }
        write.commit()?;
        Ok(())
    }

    fn format(&self) -> Result<Option<u64>, redb::Error> {
        match self.database.begin_read()?.open_table(NUMBERS) {
            Ok(table) => Ok(table.get("format")?.map(|format| format.value())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn read(&self, limits: Limits) -> Result<Desired, StoreError> {
        let rows = self.rows().map_err(|error| disk(&self.path, error))?;
        let unfit = |id: &str, why: &dyn core::fmt::Display| StoreError::Unfit {
            path: self.path.clone(),
            id: id.to_owned(),
            why: why.to_string(),
        };
        let mut kept = Vec::with_capacity(rows.programs.len());
        for (id, text) in &rows.programs {
            let entry: Kept = serde_json::from_str(text).map_err(|error| unfit(id, &error))?;
            kept.push((entry.epoch, entry.program));
        }
        let mut withdrawn = BTreeMap::new();
        for (text, epoch) in &rows.withdrawn {
            let id: Id = serde_json::from_str(text).map_err(|error| unfit(text, &error))?;
            withdrawn.insert(id, Epoch(*epoch));
        }
        Desired::restore(limits, kept, withdrawn, Epoch(rows.floor)).map_err(|refused| {
            let id = refused.id.map(|id| id.to_string()).unwrap_or_default();
            unfit(&id, &refused.error)
        })
    }

    fn rows(&self) -> Result<Rows, redb::Error> {
        let read = self.database.begin_read()?;
        let mut rows = Rows::default();
        for row in read.open_table(PROGRAMS)?.iter()? {
            let (id, text) = row?;
            rows.programs
                .push((id.value().to_owned(), text.value().to_owned()));
        }
        for row in read.open_table(WITHDRAWN)?.iter()? {
            let (id, epoch) = row?;
            rows.withdrawn.push((id.value().to_owned(), epoch.value()));
        }
        let floor = read.open_table(NUMBERS)?.get("floor")?;
        rows.floor = floor.map_or(0, |floor| floor.value());
        Ok(rows)
    }
}

/// What is in the file, before it is looked at.
#[derive(Default)]
struct Rows {
    programs: Vec<(String, String)>,
    withdrawn: Vec<(String, u64)>,
    floor: u64,
}

/// The key of a withdrawn program: its id as JSON, since it must be read again.
fn key(id: &Id) -> String {
    serde_json::json!({ "kind": id.kind, "name": id.name }).to_string()
}

fn disk(path: &Path, why: impl Into<redb::Error>) -> StoreError {
    StoreError::Disk {
        path: path.to_owned(),
        why: Box::new(why.into()),
    }
}

/// Makes an empty store at `path` if nothing is there: elsewhere first, since a store whose making
/// was cut short could not be opened.
fn begin(path: &Path) -> Result<(), StoreError> {
    if path.exists() {
        return Ok(());
    }
    let making = path.with_extension("making");
    let _ = std::fs::remove_file(&making); // of an agent that was killed as it made it
    let made = Database::create(&making).map_err(|error| disk(path, error))?;
    drop(made);
    std::fs::rename(&making, path).map_err(|error| disk(path, redb::StorageError::Io(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{network, port};
    use std::collections::BTreeSet;

    #[test]
    fn what_was_kept_is_there_after_a_restart() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("programs.redb");
        let (store, empty) = Store::open(&path, Limits::default()).unwrap();
        assert_eq!(empty, Desired::new(Limits::default()));
        assert!(!store.settled().unwrap(), "a new store knows no epochs");
        store.settle().unwrap();
        let document = vec![
            (None, network("red", 1)),
            (None, port("a", 1, "vm-a")),
            (Some(Epoch(7)), port("b", 1, "vm-b")),
        ];
        let (some, _) = empty.with(&document).unwrap();
        store.keep(&empty, &some).unwrap();
        let (fewer, _) = some
            .without(&BTreeSet::from([port("b", 1, "vm-b").id()]))
            .unwrap();
        store.keep(&some, &fewer).unwrap();
        drop(store);

        let (store, kept) = Store::open(&path, Limits::default()).unwrap();
        assert_eq!(kept, fewer);
        assert!(store.settled().unwrap());
    }

    #[test]
    fn one_store_has_one_agent() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("programs.redb");
        let _first = Store::open(&path, Limits::default()).unwrap();
        let error = Store::open(&path, Limits::default()).unwrap_err();
        assert!(matches!(error, StoreError::InUse(_)), "{error}");
    }

    #[test]
    fn what_is_no_store_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("programs.redb");
        std::fs::write(&path, "somebody's shopping list").unwrap();
        let error = Store::open(&path, Limits::default()).unwrap_err();
        assert!(matches!(error, StoreError::Disk { .. }), "{error}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "somebody's shopping list");
    }

    #[test]
    fn another_format_is_refused_by_its_number() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("programs.redb");
        let (store, _) = Store::open(&path, Limits::default()).unwrap();
        let write = store.database.begin_write().unwrap();
        let mut table = write.open_table(NUMBERS).unwrap();
        table.insert("format", 2).unwrap();
        drop(table);
        write.commit().unwrap();
        drop(store);
        let error = Store::open(&path, Limits::default()).unwrap_err();
        assert!(error.to_string().contains("has format 2"), "{error}");
    }
}
