//! How many descriptors this process may have.

use std::io;

/// Raises the limit of open descriptors to as high as this process may; returns it. A port takes
/// about seven.
///
/// # Errors
///
/// What the kernel says.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes one `rlimit`, which is ours.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: reads one `rlimit`, which is ours.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_is_as_high_as_it_may_be() {
        let raised = super::raise_descriptor_limit().unwrap();
        assert!(raised >= 1024);
        assert_eq!(super::raise_descriptor_limit().unwrap(), raised);
    }
}
