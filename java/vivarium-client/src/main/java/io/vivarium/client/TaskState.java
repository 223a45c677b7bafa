package io.vivarium.client;

/** A task of a queue, and how it stands with it. */
public final class TaskState {
    private final io.vivarium.v1.TaskState state;

    TaskState(io.vivarium.v1.TaskState state) {
        this.state = state;
    }

    public long id() {
        return state.getId();
    }

    public TaskStanding standing() {
        return TaskStanding.of(state.getStanding());
    }

    public Task task() {
        return new Task(state.getTask());
    }

    /** How often it was claimed since it was enqueued or redriven. */
    public int attempts() {
        return state.getAttempts();
    }

    /** What the last attempt failed of; empty if there was none. */
    public String error() {
        return state.getError();
    }

    /** Milliseconds since 1970; 0 for at once. */
    public long notBeforeMs() {
        return state.getNotBeforeMs();
    }

    /** Milliseconds since 1970, by the leader's clock. */
    public long createdMs() {
        return state.getCreatedMs();
    }

    /** Of the claim; 0 without. */
    public long sessionId() {
        return state.getSessionId();
    }

    /** Of the claim; empty without. */
    public String server() {
        return state.getServer();
    }

    /** Of the claim. */
    public long epoch() {
        return state.getEpoch();
    }

    /** Of the claim. */
    public long token() {
        return state.getToken();
    }

    @Override
    public String toString() {
        return "task " + id() + " " + standing() + ": " + task();
    }
}
