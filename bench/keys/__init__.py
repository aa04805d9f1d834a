"""How fast HGS releases keys: real HGS processes, hosts with health certificates, and the key log they fill."""
