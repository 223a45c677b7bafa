package io.vivarium.dubbo;

import java.util.HashMap;
import java.util.Map;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;
import org.apache.dubbo.rpc.model.FrameworkModel;

/** An application of Dubbo, as its documentation has one, with {@code zookeeper://} and an ensemble's addresses. */
final class Host implements AutoCloseable {
    /** So short that a process that was killed is missed soon. */
    private static final int SESSION_MS = 4_000;

    private final DubboBootstrap bootstrap;

    private Host(String connectString, String name) {
        ApplicationConfig application = new ApplicationConfig(name);
        application.setQosEnable(false);
        application.setRegisterMode("interface");
        int comma = connectString.indexOf(',');
        RegistryConfig registry = new RegistryConfig(
                "zookeeper://" + connectString.substring(0, comma) + "?backup=" + connectString.substring(comma + 1));
        registry.setUseAsConfigCenter(false);
        registry.setUseAsMetadataCenter(false);
        Map<String, String> parameters = new HashMap<>();
        parameters.put("session", "" + SESSION_MS);
        parameters.put("file.cache", "false");
        // Dubbo gathers changes for five seconds, and tries again after as many, unless it is told otherwise.
        parameters.put("delay-notification", "10");
        parameters.put("retry.period", "500");
        registry.setParameters(parameters);
        bootstrap = DubboBootstrap.getInstance(FrameworkModel.defaultModel().newApplication());
        bootstrap.application(application).registry(registry);
    }

    static Host offering(String connectString, String name, int port) {
        Host host = new Host(connectString, name);
        ServiceConfig<Orders> service = new ServiceConfig<>();
        service.setInterface(Orders.class);
        service.setRef(what -> name);
        ProtocolConfig protocol = new ProtocolConfig("dubbo", port);
        protocol.setHost("127.0.0.1");
        host.bootstrap.protocol(protocol).service(service).start();
        return host;
    }

    static Host calling(String connectString, ReferenceConfig<Orders> orders) {
        Host host = new Host(connectString, "shop");
        orders.setInterface(Orders.class);
        orders.setCheck(false);
        orders.setTimeout(2_000);
        host.bootstrap.reference(orders).start();
        return host;
    }

    @Override
    public void close() {
        bootstrap.stop();
    }
}
