package io.vivarium.client;

/** What a subscriber of the change log is told. */
public final class ChangeEvent {
    /** What sort of event it is. */
    public enum Kind {
        /** {@link ChangeEvent#transaction()}. */
        TRANSACTION,
        /**
         * What is there now follows. Where another one comes before the end, it begins anew, because its member
         * failed.
         */
        SNAPSHOT_BEGIN,
        /** {@link ChangeEvent#entry()}, between the two others. Parents come before what is below them. */
        ENTRY,
        /** All of it was told. */
        SNAPSHOT_END,
        /**
         * Nothing happened under the prefixes up to here. Comes every few seconds, and whenever another member
         * goes on.
         */
        PROGRESS
    }

    private final Kind kind;
    private final long zxid;
    private final boolean compacted;
    private final Transaction transaction;
    private final Entry entry;

    private ChangeEvent(Kind kind, long zxid, boolean compacted, Transaction transaction, Entry entry) {
        this.kind = kind;
        this.zxid = zxid;
        this.compacted = compacted;
        this.transaction = transaction;
        this.entry = entry;
    }

    static ChangeEvent of(Transaction transaction) {
        return new ChangeEvent(Kind.TRANSACTION, transaction.zxid(), false, transaction, null);
    }

    static ChangeEvent of(Entry entry) {
        return new ChangeEvent(Kind.ENTRY, entry.modifiedZxid(), false, null, entry);
    }

    static ChangeEvent begin(long zxid, boolean compacted) {
        return new ChangeEvent(Kind.SNAPSHOT_BEGIN, zxid, compacted, null, null);
    }

    static ChangeEvent end(long zxid) {
        return new ChangeEvent(Kind.SNAPSHOT_END, zxid, false, null, null);
    }

    static ChangeEvent progress(long zxid) {
        return new ChangeEvent(Kind.PROGRESS, zxid, false, null, null);
    }

    public Kind kind() {
        return kind;
    }

    /** Where it is in the log; of an entry, when its value was set. */
    public long zxid() {
        return zxid;
    }

    /**
     * Of a SNAPSHOT_BEGIN: what happened since the start, or since the last event, is not kept any more, and what
     * the subscriber knows and is not told again is gone.
     */
    public boolean compacted() {
        return compacted;
    }

    /** {@code null} unless it is one. */
    public Transaction transaction() {
        return transaction;
    }

    /** {@code null} unless it is one. */
    public Entry entry() {
        return entry;
    }

    @Override
    public String toString() {
        return kind + " 0x" + Long.toHexString(zxid) + (transaction == null ? "" : " " + transaction.changes())
                + (entry == null ? "" : " " + entry);
    }
}
