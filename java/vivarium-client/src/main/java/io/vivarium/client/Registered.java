package io.vivarium.client;

import io.vivarium.v1.RegisterResponse;

/** What a registration came to. */
public final class Registered {
    private final RegisterResponse answer;

    Registered(RegisterResponse answer) {
        this.answer = answer;
    }

    public long zxid() {
        return answer.getZxid();
    }

    /** False where it was there and has a new value now, and where {@link #replayed}. */
    public boolean created() {
        return answer.getCreated();
    }

    /** Whether another session had it. */
    public boolean takenOver() {
        return answer.getTakenOver();
    }

    /** Whether it had been done by an earlier attempt, whose answer was lost. */
    public boolean replayed() {
        return answer.getReplayed();
    }
}
