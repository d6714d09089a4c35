//! G2: after a crash every record is one that was committed. `tests/kill` proves it with real processes.

use crate::support::OnDisk;

#[test]
fn g2_a_file_copied_in_the_middle_of_commits_has_whole_records_only() {
    let disk = OnDisk::new();
    let session = disk.store.session(None).unwrap();
    session.insert("a", 0_u64).unwrap();
    session.insert("b", vec![0_u64; 100]).unwrap();
    session.save().wait().unwrap();
    let token = session.token().unwrap();
    let mut acknowledged = 0;
    for n in 1..30_u64 {
        session.insert("a", n).unwrap();
        session.insert("b", vec![n; 100]).unwrap();
        let ack = session.save();
        if n % 3 == 0 {
            ack.wait().unwrap();
            acknowledged = n;
            let (_dir, crashed) = disk.after_crash();
            let found = crashed.session(Some(&token)).unwrap();
            let a = found.get::<u64>("a").unwrap().unwrap();
            assert!(a >= acknowledged, "{a} is older than what was acknowledged");
            assert_eq!(found.get::<Vec<u64>>("b").unwrap(), Some(vec![a; 100]), "a mixture");
        }
    }
    assert_eq!(acknowledged, 27);
}
