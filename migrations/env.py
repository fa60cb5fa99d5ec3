"""Alembic's environment: runs the migrations on the connection that app/store hands over.

The one explicit transaction is the caller's; nothing here begins or ends one.
"""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transactional_ddl=True, transaction_per_migration=False)
context.run_migrations()
