//! `millpond superuser create` and `reset`, on a stopped server's folder.

use super::args::{Account, Superuser, SuperuserCommand};
use super::{say, trace};
use crate::error::{Error, Result};
use crate::server::Server;

pub(super) fn run(superuser: &Superuser) -> Result<()> {
    let (SuperuserCommand::Create(account) | SuperuserCommand::Reset(account)) = &superuser.what;
    let settings = account.folder.settings()?;
    trace(&settings)?;
    let resets = matches!(superuser.what, SuperuserCommand::Reset(_));
    if resets && !settings.data.is_dir() {
        return Err(Error::invalid(format!("data: {} is not a folder", settings.data.display())));
    }
    let server = Server::start(settings)?;
    let done = write(&server, account, resets);
    server.stop()?;
    done?;
    let what = if resets { "has another password, and its tokens have ended" } else { "is a superuser" };
    say(format_args!("{} {what}", account.email));
    Ok(())
}

fn write(server: &Server, Account { email, password, .. }: &Account, resets: bool) -> Result<()> {
    let service = server.service();
    if resets {
        server.wait_for(service.reset_superuser(email, password))
    } else {
        server.wait_for(service.create_superuser(email, password))
    }
}
