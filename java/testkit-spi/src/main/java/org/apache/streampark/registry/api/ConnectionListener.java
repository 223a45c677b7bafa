package org.apache.streampark.registry.api;

public interface ConnectionListener {
    void onUpdate(ConnectionState newState);
}
