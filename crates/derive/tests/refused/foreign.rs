//! Refused.
#[derive(sessile::Model)]
struct Foreign {
    queue: std::collections::VecDeque<u8>,
    heap: Option<std::collections::BinaryHeap<u8>>,
    list: std::collections::LinkedList<u8>,
    at: chrono::DateTime<Utc>,
    until: time::OffsetDateTime,
}

fn main() {}
