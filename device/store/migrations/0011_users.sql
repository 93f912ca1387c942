-- Several people may log in, each with a name; whoever is an administrator may add others. The first account is one.
ALTER TABLE users ADD COLUMN administrator INTEGER NOT NULL DEFAULT 1;
ALTER TABLE sessions ADD COLUMN user TEXT NOT NULL DEFAULT 'lab';
