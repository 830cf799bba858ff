//! One data folder ships into a store.

use std::path::Path;

use tempfile::TempDir;

use super::{Subject, numbered, write};
use crate::disk::Folder;
use crate::store::{Claimant, Store, adopt};

/// Opens the store as a process on a data folder does. All folders have the same name.
fn open_in<S: Subject>(subject: &S, folder: &Path) -> S::Store {
    subject.open_for(Claimant::in_folder(folder, "test"))
}

async fn is_refused(subject: &impl Subject, folder: &Path) {
    for _ in 0..2 {
        let error = open_in(subject, folder).position().await.unwrap_err();
        assert!(error.hint.is_some(), "{error}");
    }
}

pub(crate) async fn store_of_another_folder_is_refused(subject: &impl Subject) {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut store = open_in(subject, folder.path());
    assert_eq!(store.position().await.unwrap(), 1);
    write(&mut store, 1, 11).await;
    assert_eq!(store.sync().await.unwrap(), 11);
    is_refused(subject, other.path()).await;
    write(&mut store, 11, 21).await;
    assert_eq!(store.sync().await.unwrap(), 21);
    drop(store);
    is_refused(subject, other.path()).await;
    let mut store = open_in(subject, folder.path());
    assert_eq!(store.position().await.unwrap(), 21);
    write(&mut store, 21, 31).await;
    assert_eq!(subject.messages(), numbered(1, 31));
}

pub(crate) async fn adopted_store_refuses_its_former_folder(subject: &impl Subject) {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut store = open_in(subject, folder.path());
    store.position().await.unwrap();
    write(&mut store, 1, 11).await;
    assert_eq!(store.sync().await.unwrap(), 11);
    drop(store);
    adopt(&Folder::open(other.path()).unwrap(), "db").unwrap();
    let mut store = open_in(subject, other.path());
    assert_eq!(store.position().await.unwrap(), 11);
    write(&mut store, 11, 21).await;
    assert_eq!(store.sync().await.unwrap(), 21);
    drop(store);
    is_refused(subject, folder.path()).await;
    assert_eq!(open_in(subject, other.path()).position().await.unwrap(), 21);
    assert_eq!(subject.messages(), numbered(1, 21));
}
