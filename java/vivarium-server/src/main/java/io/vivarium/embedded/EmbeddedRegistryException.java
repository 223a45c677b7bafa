package io.vivarium.embedded;

/** The embedded server cannot be had. The message says why and what to do about it. */
public class EmbeddedRegistryException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** What is wrong; these do not change. */
    public enum Reason {
        /** No program was found in any of the places where it is looked for. */
        NO_BINARY,
        /** The program is there, and may not be run. */
        NOT_EXECUTABLE,
        /** There is no program for this platform, or the one given is for another. */
        WRONG_PLATFORM,
        /** The data directory cannot be made or written. */
        DIRECTORY_UNUSABLE,
        /** Another process uses the data directory, or it belongs to another member. */
        DIRECTORY_IN_USE,
        /** A port that was asked for is taken. */
        PORT_TAKEN,
        /** The server ended before it was ready; the message has the end of its log. */
        ENDED_AT_START,
        /** The server runs and was not ready in time; the message has the end of its log. */
        NOT_READY_IN_TIME,
        /** The thread that waited for it was interrupted. */
        INTERRUPTED,
        /** It was closed; a closed one cannot be started again. */
        CLOSED
    }

    private final Reason reason;

    EmbeddedRegistryException(Reason reason, String message) {
        this(reason, message, null);
    }

    EmbeddedRegistryException(Reason reason, String message, Throwable cause) {
        super(message, cause);
        this.reason = reason;
    }

    /** What is wrong, for programs. */
    public Reason reason() {
        return reason;
    }
}
