package io.vivarium.client;

import java.time.Duration;

/** Why a task was not carried out, and when it is to be tried again. */
public final class TaskFailure extends Exception {
    private static final long serialVersionUID = 1L;

    private final Duration retryAfter;

    /** To be tried again after this time, 30 days at most. */
    public TaskFailure(String error, Duration retryAfter) {
        super(error);
        this.retryAfter = retryAfter;
    }

    /** As {@link #TaskFailure(String, Duration)}. */
    public TaskFailure(String error, Duration retryAfter, Throwable cause) {
        super(error, cause);
        this.retryAfter = retryAfter;
    }

    public Duration retryAfter() {
        return retryAfter;
    }
}
