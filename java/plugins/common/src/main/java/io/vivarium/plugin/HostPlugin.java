package io.vivarium.plugin;

import java.io.Closeable;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.Optional;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A host's own registry plugin, of whatever type, which is called as the host calls it: by the methods of its
 * interface, which differ from release to release. Its exceptions are passed on as they are.
 */
final class HostPlugin implements RegistryBackend {
    private static final Logger LOGGER = LoggerFactory.getLogger(HostPlugin.class);

    /** Makes the plugin, and starts it. */
    @FunctionalInterface
    interface Opener {
        Opened open();
    }

    /** A plugin that was started, and what ends it. */
    static final class Opened {
        final Object registry;
        final Closeable end;

        Opened(Object registry, Closeable end) {
            this.registry = registry;
            this.end = end;
        }
    }

    private final Class<?> type;
    private final Opener opener;
    private final HostRegistry.Failure failure;
    private final Optional<Method> connected;
    private volatile Opened opened;

    /** {@code type} is the host's interface. */
    HostPlugin(Class<?> type, Opener opener, HostRegistry.Failure failure) {
        this.type = type;
        this.opener = opener;
        this.failure = failure;
        this.connected = find("isConnected", 0);
    }

    @Override
    public void start() {
        opened = opener.open();
    }

    /** Where the interface has no word for it, it is: its listeners are told where it is not. */
    @Override
    public boolean isConnected() {
        return !connected.isPresent() || (Boolean) invoke(registry(), connected.get());
    }

    @Override
    public void connectUntilTimeout(Duration timeout) {
        call("connectUntilTimeout", timeout);
    }

    @Override
    public void addConnectionStateListener(Consumer<State> listener) {
        Method method = method("addConnectionStateListener", 1);
        invoke(registry(), method, listener(method.getParameterTypes()[0],
            state -> listener.accept(State.valueOf(((Enum<?>) state).name()))));
    }

    @Override
    public void subscribe(String key, Consumer<Change> listener) {
        Method method = method("subscribe", 2);
        Object done = invoke(registry(), method, key, listener(method.getParameterTypes()[1], event -> {
            Object kind = read(event, "type", "getType");
            // Curator's cache has events of its own, which a plugin may pass on without a type.
            if (kind != null) {
                listener.accept(new Change(Change.Type.valueOf(((Enum<?>) kind).name()), (String) read(event, "key", "getKey"),
                    (String) read(event, "path", "getPath"), (String) read(event, "data", "getData")));
            }
        }));
        if (Boolean.FALSE.equals(done)) {
            throw failure.of("cannot subscribe to " + key, null);
        }
    }

    @Override
    public void unsubscribe(String key) {
        call("unsubscribe", key);
    }

    @Override
    public String get(String key) {
        return (String) call("get", key);
    }

    @Override
    public void put(String key, String value, boolean deleteOnDisconnect) {
        call("put", key, value, deleteOnDisconnect);
    }

    @Override
    public void delete(String key) {
        call("delete", key);
    }

    @Override
    public Collection<String> children(String key) {
        Collection<String> names = new LinkedHashSet<>();
        ((Collection<?>) call("children", key)).forEach(name -> names.add((String) name));
        return names;
    }

    @Override
    public boolean exists(String key) {
        return (Boolean) call("exists", key);
    }

    @Override
    public boolean acquireLock(String key) {
        return (Boolean) call("acquireLock", key);
    }

    @Override
    public boolean acquireLock(String key, long timeoutMs) {
        return (Boolean) call("acquireLock", key, timeoutMs);
    }

    @Override
    public boolean releaseLock(String key) {
        return (Boolean) call("releaseLock", key);
    }

    @Override
    public void close() {
        Opened ended = opened;
        if (ended != null) {
            try {
                ended.end.close();
            } catch (IOException error) {
                throw failure.of("cannot close the host's own registry: " + error.getMessage(), error);
            }
        }
    }

    private Object registry() {
        Opened present = opened;
        if (present == null) {
            throw failure.of("the registry was not started", null);
        }
        return present.registry;
    }

    private Object call(String name, Object... arguments) {
        return invoke(registry(), method(name, arguments.length), arguments);
    }

    private Method method(String name, int parameters) {
        return find(name, parameters).orElseThrow(() -> failure.of(
            "this host's registries have no " + name + " with " + parameters + " parameters", null));
    }

    private Optional<Method> find(String name, int parameters) {
        return Arrays.stream(type.getMethods())
            .filter(method -> method.getName().equals(name) && method.getParameterCount() == parameters).findFirst();
    }

    private Object invoke(Object target, Method method, Object... arguments) {
        try {
            return method.invoke(target, arguments);
        } catch (InvocationTargetException thrown) {
            Throwable cause = thrown.getCause();
            if (cause instanceof RuntimeException) {
                throw (RuntimeException) cause;
            }
            if (cause instanceof Error) {
                throw (Error) cause;
            }
            throw failure.of("the host's own registry failed: " + cause, cause);
        } catch (IllegalAccessException | IllegalArgumentException mismatch) {
            throw failure.of("the host's own registry cannot be called: " + mismatch, mismatch);
        }
    }

    /** A listener of the host's kind, which has one method with one parameter. */
    private Object listener(Class<?> kind, Consumer<Object> told) {
        return Proxy.newProxyInstance(kind.getClassLoader(), new Class<?>[] {kind}, (self, method, arguments) -> {
            if (method.getDeclaringClass() == Object.class) {
                switch (method.getName()) {
                    case "equals":
                        return self == arguments[0];
                    case "hashCode":
                        return System.identityHashCode(self);
                    default:
                        return "listener of a bridge";
                }
            }
            try {
                told.accept(arguments[0]);
            } catch (RuntimeException failed) {
                LOGGER.error("a listener failed", failed);
            }
            return null;
        });
    }

    /** What an event says, by whichever name its release has for it. */
    private Object read(Object event, String... names) {
        for (String name : names) {
            try {
                return invoke(event, event.getClass().getMethod(name));
            } catch (NoSuchMethodException other) {
                continue;
            }
        }
        throw failure.of(event.getClass().getName() + " has none of " + Arrays.toString(names), null);
    }
}
