//! Values of bytes share the memory of their session's record, up to the body of a response.

use axum::body::{Body, Bytes, to_bytes};
use sessile::{Error, error::CodecError, testing};

/// A handler's response for one value: the record stays where it is.
#[tokio::test]
async fn a_value_of_bytes_becomes_a_body_without_a_copy() {
    let store = testing::store();
    let avatar: Vec<u8> = (0..60_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let session = store.session(None).unwrap();
    session.insert("name", "Ada").unwrap();
    session.insert_bytes("avatar", &avatar).unwrap();
    session.save().await.unwrap();

    let session = store.session(session.token().as_ref()).unwrap();
    let in_record: *const u8 = session.entry("avatar").unwrap().get::<&[u8]>().unwrap().as_ptr();
    let mut read = None;
    let info = allocation_counter::measure(|| read = session.bytes("avatar").unwrap());
    let read: Bytes = read.unwrap();
    assert_eq!((&read[..], read.as_ptr()), (&avatar[..], in_record));
    assert!(info.count_total <= 1 && info.bytes_total <= 128, "{} allocations, {} bytes", info.count_total, info.bytes_total);

    let body = to_bytes(Body::from(read), usize::MAX).await.unwrap();
    assert_eq!((body.len(), body.as_ptr()), (avatar.len(), in_record));
    drop(session);
    assert_eq!(body[..], avatar[..], "it keeps the record");
}

#[test]
fn bytes_are_also_read_as_serde_types_and_serde_types_as_bytes() {
    let session = testing::session();
    session.insert_bytes("bytes", [1, 2, 3]).unwrap();
    session.insert("text", "Ada").unwrap();
    session.insert("of serde", serde_bytes::ByteBuf::from([4, 5])).unwrap();
    session.insert("number", 7).unwrap();
    for _ in 0..2 {
        assert_eq!(session.get::<serde_bytes::ByteBuf>("bytes").unwrap().unwrap().as_slice(), [1, 2, 3]);
        assert_eq!(session.bytes("bytes").unwrap().unwrap()[..], [1, 2, 3]);
        assert_eq!(session.bytes("text").unwrap().unwrap(), "Ada");
        assert_eq!(session.bytes("of serde").unwrap().unwrap()[..], [4, 5]);
        assert_eq!(session.bytes("nothing").unwrap(), None);
        assert!(matches!(session.bytes("number"), Err(Error::Codec(CodecError::WrongType { .. }))));
        session.save().wait().unwrap();
    }
}

#[test]
fn bytes_of_every_length_come_back_and_too_many_are_refused() {
    let session = testing::session();
    for len in [0, 1, 255, 256, 65_535, 65_536, 1_000_000] {
        let bytes = vec![7; len];
        session.insert_bytes("bytes", &bytes).unwrap();
        assert_eq!(session.bytes("bytes").unwrap().unwrap()[..], bytes[..]);
    }
    let too_many = session.insert_bytes("bytes", vec![7; 2 << 20]);
    assert!(matches!(too_many, Err(Error::Codec(_))), "{too_many:?}");
    assert_eq!(session.bytes("bytes").unwrap().unwrap().len(), 1_000_000, "what was there stays");
    assert!(matches!(session.insert_bytes("sessile.mine", b""), Err(Error::ReservedKey)));
}
