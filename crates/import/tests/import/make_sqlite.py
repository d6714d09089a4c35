"""Makes tower_sessions.sqlite from pairs of an id and a record, one a line, in hexadecimal: what tower-sessions-sqlx-store would write.

    cargo test -p sessile-import --test import records_for_the_fixture -- --nocapture | grep -o 'row .*' \
        | python3 crates/import/tests/import/make_sqlite.py

Small pages, so that a few hundred rows need inner pages and large records need overflow pages; some rows are deleted, so that there
are free pages and holes.
"""
import os
import sqlite3
import sys

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tower_sessions.sqlite")
if os.path.exists(path):
    os.remove(path)
db = sqlite3.connect(path)
db.execute("pragma page_size = 512")
db.execute("create table users (id integer primary key, name text)")
db.execute("create table tower_sessions (id text primary key not null, data blob not null, expiry_date integer not null)")
rows = [line.split()[1:] for line in sys.stdin if line.startswith("row ")]
for id, data, expiry in rows:
    db.execute("insert into tower_sessions values (?, ?, ?)", (id, bytes.fromhex(data), int(expiry)))
for n in range(30):
    db.execute("insert into tower_sessions values (?, ?, ?)", ("gone%d" % n, os.urandom(700), 1))
db.commit()
db.execute("delete from tower_sessions where id like 'gone%'")
db.commit()
db.close()
print(path, os.path.getsize(path), len(rows), "rows")
