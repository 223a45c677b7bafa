package io.vivarium.springboot.former;

import io.vivarium.dolphinscheduler.v31.EmbeddedRegistry;
import io.vivarium.plugin.EmbeddedRegistryProperties;
import java.util.List;
import org.apache.dolphinscheduler.registry.api.Registry;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** A registry of another type, with properties that the host binds. */
@Configuration(proxyBeanMethods = false)
@ConditionalOnProperty(prefix = "registry", name = "type", havingValue = "former")
public class FormerRegistry {
    /** Below {@code registry.former}. */
    public static class Properties {
        private String serverAddress;

        public void setServerAddress(String serverAddress) {
            this.serverAddress = serverAddress;
        }
    }

    @Bean
    @ConfigurationProperties("registry.former")
    Properties formerProperties() {
        return new Properties();
    }

    @Bean
    Registry registry(Properties properties) {
        EmbeddedRegistryProperties own = new EmbeddedRegistryProperties();
        own.setEndpoints(List.of(properties.serverAddress));
        EmbeddedRegistry registry = new EmbeddedRegistry(own);
        registry.start();
        return registry;
    }
}
