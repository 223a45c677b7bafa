package io.vivarium.client;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** One write with all its changes under the prefixes that were asked for and that the caller may read. */
public final class Transaction {
    private final long zxid;
    private final long timeMs;
    private final long sessionId;
    private final List<Change> changes;

    Transaction(io.vivarium.v1.Transaction told, List<io.vivarium.v1.Change> changes) {
        zxid = told.getZxid();
        timeMs = told.getTimeMs();
        sessionId = told.getSessionId();
        List<Change> all = new ArrayList<>(changes.size());
        changes.forEach(change -> all.add(new Change(change)));
        this.changes = Collections.unmodifiableList(all);
    }

    public long zxid() {
        return zxid;
    }

    /** By the leader's clock, in milliseconds since 1970; never runs backwards. */
    public long timeMs() {
        return timeMs;
    }

    /** Whose write it was, or whose end; 0 for the ensemble's own. */
    public long sessionId() {
        return sessionId;
    }

    public List<Change> changes() {
        return changes;
    }

    @Override
    public String toString() {
        return "0x" + Long.toHexString(zxid) + " " + changes;
    }
}
