//! Claims of stores by data folders.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::disk::{Disk, Folder};
use crate::limits::CLAIMS_PER_DATABASE_MAX;

/// A database with one row, as a store keeps it.
struct FakeDatabase {
    identity: &'static str,
    node: String,
    number: i64,
    position: RecordId,
    ended: Vec<(i64, RecordId)>,
}

impl FakeDatabase {
    fn new(identity: &'static str) -> FakeDatabase {
        FakeDatabase { identity, node: String::new(), number: 0, position: 1, ended: Vec::new() }
    }

    fn found(&self) -> ClaimRecord {
        let owner = match self.number {
            0 => OwnerRow::Free { position: self.position },
            number => OwnerRow::Claimed { node: self.node.clone(), number, position: self.position },
        };
        ClaimRecord { database: self.identity.into(), owner, elsewhere: self.ended.clone(), recovered: None }
    }

    fn take(&mut self, claimant: &Claimant, verdict: &Verdict) {
        if let Verdict::Take { number, position } = verdict {
            self.ended.push((self.number, self.position));
            (self.number, self.position, self.node) = (*number, *position, claimant.node().into());
        }
    }

    /// Runs all steps of a claim.
    fn claim(&mut self, claimant: &mut Claimant) -> Result<RecordId, StoreError> {
        let verdict = claimant.judge(&self.found())?;
        self.take(claimant, &verdict);
        claimant.confirm(self.position)?;
        Ok(self.position)
    }
}

/// Starts a process on a data folder whose spool holds these ids.
fn start(folder: &Path, spool: (RecordId, RecordId)) -> (Arc<Claims>, Claimant) {
    start_as(folder, spool, "node")
}

fn start_as(folder: &Path, spool: (RecordId, RecordId), node: &str) -> (Arc<Claims>, Claimant) {
    let disk = Arc::new(Folder::open(folder).unwrap());
    let claims = Claims::open(disk, Some(spool), vec!["db".into()]).unwrap();
    let claimant = Claimant::new(&claims, "db", node);
    (claims, claimant)
}

fn copy_of(folder: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    std::fs::copy(folder.path().join("claims"), copy.path().join("claims")).unwrap();
    copy
}

fn adopt_in(folder: &TempDir) {
    adopt(&Folder::open(folder.path()).unwrap(), "db").unwrap();
}

#[test]
fn claim_of_new_store_continues_after_restarts() {
    let folder = TempDir::new().unwrap();
    let mut database = FakeDatabase::new("a");
    for position in [1, 10, 20] {
        database.position = position;
        let (_, mut claimant) = start(folder.path(), (1, 30));
        assert_eq!(database.claim(&mut claimant).unwrap(), position);
        database.position += 1;
        assert_eq!(claimant.judge(&database.found()).unwrap(), Verdict::Held(position + 1));
    }
}

#[test]
fn first_claiming_copy_of_folder_keeps_store() {
    let folder = TempDir::new().unwrap();
    let mut database = FakeDatabase::new("a");
    database.claim(&mut start(folder.path(), (1, 10)).1).unwrap();
    let copy = copy_of(&folder);
    let (_, mut first) = start(copy.path(), (1, 10));
    database.claim(&mut first).unwrap();
    database.position = 10;
    for _ in 0..2 {
        let error = database.claim(&mut start(folder.path(), (1, 10)).1).unwrap_err();
        assert!(error.what.contains("a copy of this data folder"), "{error}");
        assert!(error.hint.unwrap().contains("logboom store adopt db"));
        assert_eq!(database.claim(&mut start(copy.path(), (1, 10)).1).unwrap(), 10);
    }
}

#[test]
fn crash_between_any_two_steps_keeps_claim() {
    let folder = TempDir::new().unwrap();
    let mut database = FakeDatabase::new("a");
    for _ in 0..3 {
        // The claim is noted, and nothing more.
        start(folder.path(), (1, 10)).1.judge(&database.found()).unwrap();
        // The claim is in the database, but not confirmed.
        let (_, mut claimant) = start(folder.path(), (1, 10));
        let verdict = claimant.judge(&database.found()).unwrap();
        database.take(&claimant, &verdict);
        let (_, mut claimant) = start(folder.path(), (1, 10));
        database.claim(&mut claimant).unwrap();
    }
}

/// This happens with a database that can be read but not written to, under a server that is started
/// again and again.
#[test]
fn unused_claims_do_not_evict_held_claim() {
    let folder = TempDir::new().unwrap();
    let mut database = FakeDatabase::new("a");
    database.claim(&mut start(folder.path(), (1, 10)).1).unwrap();
    for _ in 0..2 * CLAIMS_PER_DATABASE_MAX {
        start(folder.path(), (1, 10)).1.judge(&database.found()).unwrap();
    }
    let (claims, mut claimant) = start(folder.path(), (1, 10));
    assert_eq!(database.claim(&mut claimant).unwrap(), 1);
    assert_eq!(claims.database("a", "db").unwrap().issued.len(), CLAIMS_PER_DATABASE_MAX);
}

/// The database has accepted the claim, but the process has not received the response.
#[test]
fn lost_response_leaves_claim_with_its_process() {
    let folder = TempDir::new().unwrap();
    let mut database = FakeDatabase::new("a");
    let (claims, mut claimant) = start(folder.path(), (1, 10));
    claims.note_unconfirmed(&["db".into()], 10).unwrap();
    let verdict = claimant.judge(&database.found()).unwrap();
    database.take(&claimant, &verdict);
    assert_eq!(claimant.judge(&database.found()).unwrap(), Verdict::Held(1));
    database.position = 20; // written since, which does not contradict what was noted
    assert!(start(folder.path(), (1, 30)).1.judge(&database.found()).is_ok());
}

#[test]
fn other_folder_is_refused_until_it_adopts_store() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut database = FakeDatabase::new("a");
    database.claim(&mut start(folder.path(), (1, 10)).1).unwrap();
    database.position = 100;
    let error = database.claim(&mut start_as(other.path(), (1, 1), "other").1).unwrap_err();
    assert!(error.what.contains("another data folder (node node)"), "{error}");
    adopt_in(&other);
    // Records of the other folder's own spool would be skipped.
    let error = database.claim(&mut start_as(other.path(), (1, 5), "other").1).unwrap_err();
    assert!(error.what.contains("ids from 1 to 4"), "{error}");
    assert_eq!(database.claim(&mut start_as(other.path(), (1, 1), "other").1).unwrap(), 100);
    assert!(database.claim(&mut start(folder.path(), (1, 10)).1).is_err());
    assert_eq!(database.claim(&mut start_as(other.path(), (100, 100), "other").1).unwrap(), 100);
}

#[test]
fn older_state_is_accepted_if_spool_has_the_rest() {
    let folder = TempDir::new().unwrap();
    let mut database = FakeDatabase::new("a");
    database.claim(&mut start(folder.path(), (1, 1)).1).unwrap();
    let older = (database.number, 50);
    database.claim(&mut start(folder.path(), (1, 100)).1).unwrap();
    database.position = 90;
    (database.number, database.position) = older;
    let error = database.claim(&mut start(folder.path(), (60, 100)).1).unwrap_err();
    assert!(error.what.contains("10 ids would be skipped"), "{error}");
    assert_eq!(database.claim(&mut start(folder.path(), (50, 100)).1).unwrap(), 50);
    adopt_in(&folder);
    for _ in 0..2 {
        assert_eq!(database.claim(&mut start(folder.path(), (60, 100)).1).unwrap(), 50);
    }
    database.position = 55;
    assert!(database.claim(&mut start(folder.path(), (60, 100)).1).is_err(), "only what a person accepted");
}

#[test]
fn unconfirmed_ids_are_never_skipped() {
    let folder = TempDir::new().unwrap();
    let mut database = FakeDatabase::new("a");
    database.claim(&mut start(folder.path(), (1, 1)).1).unwrap();
    database.position = 100;
    // The spool was lost: an empty spool starts at the store's position.
    assert_eq!(database.claim(&mut start(folder.path(), (1, 1)).1).unwrap(), 100);
    let (claims, _) = start(folder.path(), (1, 1));
    claims.note_unconfirmed(&["db".into()], 1).unwrap();
    assert_eq!(database.claim(&mut start(folder.path(), (1, 1)).1).unwrap(), 100, "none was given");
    let (claims, _) = start(folder.path(), (1, 1));
    claims.note_unconfirmed(&["db".into()], 1).unwrap();
    for end in [20, 500] {
        let error = database.claim(&mut start(folder.path(), (1, end)).1).unwrap_err();
        assert!(error.what.contains("were assigned twice"), "{error}");
    }
}

#[test]
fn renamed_node_continues_at_end_of_old_name() {
    let folder = TempDir::new().unwrap();
    let mut database = FakeDatabase::new("a");
    database.claim(&mut start(folder.path(), (1, 1)).1).unwrap();
    database.position = 40;
    let twin = copy_of(&folder);
    database.claim(&mut start(twin.path(), (1, 40)).1).unwrap();
    database.position = 70;
    let renamed = |spool| start_as(folder.path(), spool, "renamed");
    let found = |elsewhere: &[(i64, RecordId)]| ClaimRecord {
        database: "a".into(),
        elsewhere: elsewhere.to_vec(),
        ..ClaimRecord::default()
    };
    let (_, mut claimant) = renamed((1, 60));
    let verdict = claimant.judge(&found(&database.ended)).unwrap();
    assert!(matches!(verdict, Verdict::Take { position: 40, .. }), "{verdict:?}");
    // Ids that were assigned since the database refused the claim are in it under no name.
    let (claims, _) = start(folder.path(), (1, 60));
    claims.note_unconfirmed(&["db".into()], 35).unwrap();
    let (_, mut claimant) = renamed((1, 60));
    let verdict = claimant.judge(&found(&database.ended)).unwrap();
    assert!(matches!(verdict, Verdict::Take { position: 35, .. }), "{verdict:?}");
    let error = renamed((1, 60)).1.judge(&found(&[])).unwrap_err();
    assert!(error.what.contains("old name"), "{error}");
    let error = start(folder.path(), (1, 60)).1.judge(&found(&[])).unwrap_err();
    assert!(error.what.contains("is missing from `logs_node`"), "{error}");
}

#[test]
fn damaged_claims_file_is_rejected() {
    let folder = TempDir::new().unwrap();
    FakeDatabase::new("a").claim(&mut start(folder.path(), (1, 1)).1).unwrap();
    let path = folder.path().join("claims");
    let text = std::fs::read_to_string(&path).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(Folder::open(folder.path()).unwrap());
    let open = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Claims::open(Arc::clone(&disk), None, Vec::new()).map(|_| ())
    };
    assert!(open(&text).is_ok());
    for damaged in [text.replace("node", "nude"), String::new(), text[..text.len() / 2].into()] {
        assert!(open(&damaged).unwrap_err().to_string().contains("`claims` is damaged"), "{damaged}");
    }
}

#[test]
fn impossible_position_is_none() {
    for (stored, position) in
        [(-5, None), (0, None), (1, Some(1)), (i64::MIN, None), (i64::MAX, Some(i64::MAX as u64))]
    {
        assert_eq!(position_of(stored), position);
    }
    assert_ne!(checksum("a", "bc", 1, 2), checksum("ab", "c", 1, 2));
}
