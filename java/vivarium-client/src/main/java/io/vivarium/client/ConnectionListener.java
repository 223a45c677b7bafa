package io.vivarium.client;

/** Is told how a client's session stands. */
@FunctionalInterface
public interface ConnectionListener {
    /**
     * Called on the client's thread for events, one call at a time: at first with the state as it is, then with
     * each other one. A listener that is slow may miss that the client was suspended and came back, but never
     * that a session was lost. It holds up the other listeners of the client, and neither the session nor calls.
     */
    void stateChanged(ConnectionState state);
}
