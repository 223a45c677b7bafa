package io.vivarium.client;

import io.vivarium.testkit.Waiting;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** What a connection listener was told. */
final class States implements ConnectionListener {
    final List<ConnectionState> told = new CopyOnWriteArrayList<>();

    @Override
    public void stateChanged(ConnectionState state) {
        told.add(state);
    }

    void await(ConnectionState... expected) {
        List<ConnectionState> all = List.of(expected);
        Waiting.until("told " + all + ", not " + told, () -> told.equals(all));
    }

    void awaitLast(ConnectionState expected) {
        Waiting.until(
                "told " + expected + " at last", () -> !told.isEmpty() && told.get(told.size() - 1) == expected);
    }
}
