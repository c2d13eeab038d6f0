#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A database that many write at once: accounts whose sum never changes, and a
log of who moved money how often.

usage: bank.py make DB MODE
       bank.py work DB MODE WRITER SEED COUNT [PROMISES]
       bank.py judge DB MODE PROMISES...

MODE is a journal mode of sqlite3. A writer makes COUNT transfers (0: until
something fails) and appends one line to the file PROMISES after each commit
that sqlite3 has reported with the file system still there; the judge says
whether the database is sound, the money is all there, and every promised
transfer with it. Waits for others as long as it takes. When the file system is
taken away, a writer exits 3.
"""
import os
import random
import sqlite3
import sys

ACCOUNTS = 200
MONEY = 1000


def connect(path, mode):
    db = sqlite3.connect(path, timeout=120, isolation_level=None)
    # With FULL, a rollback journal that is deleted may be back after a power
    # cut; EXTRA waits until its name is gone for good.
    db.execute("PRAGMA synchronous=" +
               ("EXTRA" if mode == "delete" else "FULL"))
    got = db.execute(f"PRAGMA journal_mode={mode}").fetchone()[0]
    if got != mode:
        sys.exit(f"bank.py: the journal mode is {got}, not {mode}")
    db.execute("PRAGMA wal_autocheckpoint=60")
    return db


def make(path, mode):
    db = connect(path, mode)
    db.executescript("""
        BEGIN;
        CREATE TABLE account(id INTEGER PRIMARY KEY, money INTEGER NOT NULL);
        CREATE TABLE log(writer INTEGER, seq INTEGER, note TEXT,
                         PRIMARY KEY(writer, seq));
        CREATE INDEX by_note ON log(note);
        COMMIT;""")
    db.execute("BEGIN")
    db.executemany("INSERT INTO account VALUES (?, ?)",
                   [(n, MONEY) for n in range(ACCOUNTS)])
    db.execute("COMMIT")
    db.close()


def note(writer, seq):
    return f"{writer}/{seq} " * (1 + seq * 7919 % 60)


def transfer(db, writer, seq, r):
    db.execute("BEGIN IMMEDIATE")
    a, b = r.sample(range(ACCOUNTS), 2)
    n = r.randint(1, 50)
    db.execute("UPDATE account SET money = money - ? WHERE id = ?", (n, a))
    db.execute("UPDATE account SET money = money + ? WHERE id = ?", (n, b))
    db.execute("INSERT INTO log VALUES (?, ?, ?)",
               (writer, seq, note(writer, seq)))
    if r.random() < 0.1:
        db.execute("ROLLBACK")
        return False
    db.execute("COMMIT")
    return True


def work(path, mode, writer, seed, count, promises):
    r = random.Random(seed * 1000 + writer)
    out = None
    if promises:
        out = os.open(promises, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        db = connect(path, mode)
        seq = db.execute("SELECT coalesce(max(seq), 0) FROM log"
                         " WHERE writer = ?", (writer,)).fetchone()[0]
        done = 0
        while count == 0 or done < count:
            if transfer(db, writer, seq + 1, r):
                seq += 1
                done += 1
                if out is not None:
                    # After it has removed its journal, sqlite3 opens the
                    # directory to sync it, and takes a failure of that for
                    # none: it would report a commit when the server has just
                    # been killed. One that answers now has not been.
                    os.statvfs(path)
                    os.write(out, b"%d %d\n" % (writer, seq))
            if r.random() < 0.05:
                total = db.execute("SELECT sum(money) FROM account")
                if total.fetchone()[0] != ACCOUNTS * MONEY:
                    sys.exit("bank.py: money was lost")
        db.close()
    except OSError as e:
        print(f"writer {writer}: {e}", file=sys.stderr)
        sys.exit(3)
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as e:
        text = str(e)
        if "malformed" in text or "not a database" in text:
            sys.exit(f"bank.py: {text}")
        print(f"writer {writer}: {text}", file=sys.stderr)
        sys.exit(3)


def judge(path, mode, promises):
    db = connect(path, mode)
    bad = [row[0] for row in db.execute("PRAGMA integrity_check")]
    if bad != ["ok"]:
        sys.exit("bank.py: integrity_check: " + "; ".join(bad[:5]))
    total, n = db.execute("SELECT sum(money), count(*) FROM account").fetchone()
    if (total, n) != (ACCOUNTS * MONEY, ACCOUNTS):
        sys.exit(f"bank.py: {n} accounts hold {total}")
    there = {(w, s): t for w, s, t in db.execute("SELECT * FROM log")}
    for (w, s), t in there.items():
        if t != note(w, s):
            sys.exit(f"bank.py: transfer {w}/{s} reads wrong")
    kept = 0
    for name in promises:
        with open(name, "rb") as f:
            for line in f:
                w, s = map(int, line.split())
                if (w, s) not in there:
                    sys.exit(f"bank.py: transfer {w}/{s} was promised and is "
                             f"not there ({len(there)} are)")
                kept += 1
    db.close()
    print(f"{len(there)} transfers, {kept} promised and kept")


def main():
    args = sys.argv[1:]
    if len(args) == 3 and args[0] == "make":
        make(args[1], args[2])
    elif len(args) in (6, 7) and args[0] == "work":
        work(args[1], args[2], *map(int, args[3:6]),
             args[6] if len(args) == 7 else None)
    elif len(args) >= 3 and args[0] == "judge":
        judge(args[1], args[2], args[3:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
