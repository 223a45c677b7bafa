package io.vivarium.client;

import com.google.common.util.concurrent.ListenableFuture;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.okhttp.OkHttpChannelBuilder;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.Collections;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import javax.net.SocketFactory;

/**
 * A connection to a member.
 *
 * <p>Over sockets of the Java runtime: there is no native code in it and no direct memory that outlives it. Once
 * it is closed, whoever waits for an answer through it is told so at once.
 *
 * <p>A stream whose answers nobody takes fills its own window and holds up nothing else: what comes is acknowledged
 * for the connection when it is read from the socket, and only for its stream when it is taken. A transport that did
 * both when it is taken would let such a stream starve the signs of life.
 */
final class Link {
    /** Bytes of an answer: a transaction of the largest writes, a page of entries. */
    private static final int ANSWER_BYTES_MAX = 64 * 1024 * 1024;
    /** Bytes of a stream that wait for whoever takes its answers; a larger answer comes in parts of it. */
    static final int WINDOW_BYTES = 65_535;
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    final String endpoint;
    private final ManagedChannel managed;
    private final Channel channel;
    private final Sockets sockets;

    Link(Options options, Threads threads, Options.Endpoint to, long connectNanos) {
        endpoint = to.toString();
        sockets = new Sockets((int) Math.max(1, TimeUnit.NANOSECONDS.toMillis(connectNanos)));
        OkHttpChannelBuilder builder = OkHttpChannelBuilder.forAddress(to.host, to.port)
                .executor(threads.io)
                .offloadExecutor(threads.io)
                .transportExecutor(threads.io)
                .scheduledExecutorService(threads.timer)
                .socketFactory(sockets)
                // Members are not behind the proxy that a host uses for the world outside.
                .proxyDetector(address -> null)
                .maxInboundMessageSize(ANSWER_BYTES_MAX)
                .flowControlWindow(WINDOW_BYTES)
                .userAgent("vivarium-java")
                .disableServiceConfigLookUp()
                // Calls are sent again by us, who know when that is right.
                .disableRetry();
        if (options.sockets == null) {
            builder.usePlaintext();
        } else {
            builder.useTransportSecurity().sslSocketFactory(options.sockets);
        }
        managed = builder.build();
        if (options.authorization == null) {
            channel = managed;
        } else {
            Metadata headers = new Metadata();
            headers.put(AUTHORIZATION, options.authorization);
            channel = ClientInterceptors.intercept(managed, MetadataUtils.newAttachHeadersInterceptor(headers));
        }
    }

    /** One answer, or {@link VivariumException.Kind#TIMED_OUT} when the time is over. */
    <Q, A> A call(MethodDescriptor<Q, A> method, Q message, Deadline deadline) {
        ListenableFuture<A> answer =
                ClientCalls.futureUnaryCall(channel.newCall(method, CallOptions.DEFAULT), message);
        try {
            return answer.get(Math.max(0, deadline.leftNanos()), TimeUnit.NANOSECONDS);
        } catch (InterruptedException interrupted) {
            answer.cancel(true);
            throw VivariumException.interrupted(true, interrupted);
        } catch (TimeoutException late) {
            answer.cancel(true);
            throw VivariumException.timedOut(true, null);
        } catch (ExecutionException failed) {
            if (failed.getCause() instanceof StatusRuntimeException) {
                StatusRuntimeException status = (StatusRuntimeException) failed.getCause();
                throw VivariumException.of(status, endpoint, method.getFullMethodName());
            }
            throw VivariumException.broken(String.valueOf(failed.getCause()));
        }
    }

    /** Many answers. */
    <Q, A> Stream<Q, A> stream(MethodDescriptor<Q, A> method) {
        return new Stream<>(
                channel.newCall(method, CallOptions.DEFAULT), endpoint, method.getFullMethodName());
    }

    /** Closing it twice does nothing more. */
    void close() {
        managed.shutdownNow();
        // One that is being connected, or that is in a handshake, waits for nobody.
        sockets.close();
    }

    /** Makes sockets that are given up in time, and closes those that are left. */
    private static final class Sockets extends SocketFactory {
        private final int connectMs;
        private final Set<Socket> open = Collections.newSetFromMap(new ConcurrentHashMap<Socket, Boolean>());
        private volatile boolean closed;

        Sockets(int connectMs) {
            this.connectMs = connectMs;
        }

        void close() {
            closed = true;
            for (Socket socket : open) {
                quietlyClose(socket);
            }
            open.clear();
        }

        private static void quietlyClose(Socket socket) {
            try {
                socket.close();
            } catch (IOException ignored) {
                // Nobody uses it any more.
            }
        }

        private Socket connect(InetSocketAddress to, InetSocketAddress from) throws IOException {
            Socket socket = new Socket();
            // Those that the other side closed meanwhile.
            open.removeIf(Socket::isClosed);
            open.add(socket);
            if (closed) {
                quietlyClose(socket);
                throw new IOException("the connection was given up");
            }
            try {
                socket.setTcpNoDelay(true);
                if (from != null) {
                    socket.bind(from);
                }
                socket.connect(to, connectMs);
                return socket;
            } catch (IOException failed) {
                open.remove(socket);
                quietlyClose(socket);
                throw failed;
            }
        }

        @Override
        public Socket createSocket(InetAddress host, int port) throws IOException {
            return connect(new InetSocketAddress(host, port), null);
        }

        @Override
        public Socket createSocket(String host, int port) throws IOException {
            return connect(new InetSocketAddress(host, port), null);
        }

        @Override
        public Socket createSocket(String host, int port, InetAddress local, int localPort) throws IOException {
            return connect(new InetSocketAddress(host, port), new InetSocketAddress(local, localPort));
        }

        @Override
        public Socket createSocket(InetAddress host, int port, InetAddress local, int localPort) throws IOException {
            return connect(new InetSocketAddress(host, port), new InetSocketAddress(local, localPort));
        }
    }
}
