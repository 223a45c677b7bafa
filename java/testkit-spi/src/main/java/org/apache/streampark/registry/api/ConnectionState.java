package org.apache.streampark.registry.api;

public enum ConnectionState {
    CONNECTED,
    RECONNECTED,
    SUSPENDED,
    DISCONNECTED
}
