package io.vivarium.client;

import io.vivarium.v1.ClaimRef;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Which claims of tasks a session has, as its client knows them.
 *
 * <p>At all times: one call at a time asks for tasks of a queue, so that whatever else the session is found to
 * have claimed there is what the answer of an earlier call told, and that one was lost.
 */
final class Claims {
    /** Tasks that one client has claimed at once. */
    static final int CLAIMS_MAX = 1_024;

    private final Map<ClaimRef, Boolean> held = new HashMap<>();
    private final Set<String> asked = new HashSet<>();
    private boolean brokenOff;

    synchronized void insert(long id, long token) {
        held.put(reference(id, token), true);
    }

    synchronized void remove(long id, long token) {
        held.remove(reference(id, token));
    }

    synchronized int count() {
        return held.size();
    }

    synchronized List<ClaimRef> held() {
        return new ArrayList<>(held.keySet());
    }

    /** A call was given up: what it claimed nobody was told of. */
    synchronized void brokenOff() {
        brokenOff = true;
    }

    synchronized boolean mayBeUnknown() {
        return brokenOff;
    }

    /** Waits until no other call asks for tasks of this queue; false if the time is over before. */
    synchronized boolean beginAsking(String queue, Deadline deadline) throws InterruptedException {
        while (asked.contains(queue)) {
            if (deadline.isOver()) {
                return false;
            }
            deadline.waitOn(this);
        }
        asked.add(queue);
        return true;
    }

    synchronized void endAsking(String queue) {
        asked.remove(queue);
        notifyAll();
    }

    private static ClaimRef reference(long id, long token) {
        return ClaimRef.newBuilder().setId(id).setToken(token).build();
    }
}
