"""The proxy that the usual environment names for an address."""

from __future__ import annotations


def proxy_for(scheme: str, host: str) -> str:
    """Its address with a scheme, "" for none; `host` may have a port, which `no_proxy` can name as well."""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all", "")
    if not proxy or proxy_bypass(host):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"
