//! Sealed cookies of an encrypted store: what the store keeps of them is encrypted with its own keys, which are replaced.

use sessile::{Keys, Store};
use sessile_fault_disk::FaultDisk;

use super::{app, body, visit};
use crate::support::{OnDisk, ask_with};

#[tokio::test]
async fn a_key_of_the_store_is_replaced_without_forgetting_a_logout() {
    let (old, new) = ([3; 32], [4; 32]);
    let disk = FaultDisk::new(0);
    let open = |keys: Keys| Store::builder().encrypt(keys).open_on(&disk).unwrap();
    let store = open(Keys::from(old));
    let app = app(&store);
    let [ada, bob, eve] = [visit(&app, "/login", "").await, visit(&app, "/set/1", "").await, visit(&app, "/set/2", "").await];
    visit(&app, "/logout", &bob).await;
    store.destroy_sessions_of("ada").wait().unwrap();
    store.close().unwrap();
    let check = async |store: Store| {
        let app = self::app(&store);
        for (cookie, expected) in [(&ada, "false"), (&bob, "false"), (&eve, "true")] {
            assert_eq!(ask_with(&app, "/is_there", cookie).await.body, expected);
        }
        store.close().unwrap();
    };
    // There is no request while both are accepted.
    open(Keys::from(new).accept(old)).close().unwrap();
    check(open(Keys::from(new))).await;
    check(open(Keys::from(new))).await;
}

#[tokio::test]
async fn a_copy_holds_the_sessions_of_the_store_and_nothing_of_sealed_ones() {
    let disk = OnDisk::new();
    let app = app(&disk.store);
    let [sealed, ended] = [visit(&app, "/set/1", "").await, visit(&app, "/login", "").await];
    let stored = visit(&app, "/grow/5000", &visit(&app, "/set/7", "").await).await;
    visit(&app, "/logout", &ended).await;
    disk.store.destroy_sessions_of("ada").wait().unwrap();
    disk.store.close().unwrap();
    let (from, to) = (disk.dir.path().join("sessions.redb"), disk.dir.path().join("copy.redb"));
    let into = Store::builder().encrypt([3; 32]);
    assert_eq!(Store::builder().copy(from, &into, &to).unwrap(), 1);
    let copied = into.open(to).unwrap();
    let stats = copied.stats();
    assert_eq!((stats.sessions, stats.disk_sessions, stats.revoked), (1, 1, 0));
    let app = self::app(&copied);
    assert_eq!((body(&app, &stored).await.as_str(), body(&app, &sealed).await.as_str()), ("7", "none"));
}
