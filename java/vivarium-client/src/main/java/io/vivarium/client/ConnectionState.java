package io.vivarium.client;

/** What may be relied on of a client's session, in the words of Apache Curator. */
public enum ConnectionState {
    /** A session was opened, and lives. */
    CONNECTED(true),
    /**
     * Whether the session lives is not known: no answer came for a third of its timeout, or the connection
     * broke. Nothing may be relied on until it is known again.
     */
    SUSPENDED(false),
    /** The same session lives: entries and locks are as they were. */
    RECONNECTED(true),
    /** The session is over, with all that was bound to it. */
    LOST(false);

    private final boolean connected;

    ConnectionState(boolean connected) {
        this.connected = connected;
    }

    /** Whether the session is known to live. */
    public boolean isConnected() {
        return connected;
    }
}
