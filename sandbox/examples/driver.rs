//! Whether a Vulkan driver works in a process that is locked by the device profile: its library is found, an instance and a
//! device are made, memory is had. `VK_DRIVER_FILES=/usr/share/vulkan/icd.d/lvp_icd.x86_64.json cargo run -p sandbox --example driver`
//!
//! It computes nothing: `cargo test -p eval --features wgpu` does, and takes minutes to build.

#![expect(unsafe_code, reason = "a driver is asked through its C interface")]

use sandbox::{Profile, lock};
use std::ffi::{CStr, c_char, c_void};
use std::ptr::{null, null_mut};

type Handle = *mut c_void;

/// `VkInstanceCreateInfo` without anything asked for.
#[repr(C)]
struct InstanceInfo {
    kind: u32,
    next: *const c_void,
    flags: u32,
    application: *const c_void,
    layers: u32,
    layer_names: *const *const c_char,
    extensions: u32,
    extension_names: *const *const c_char,
}

/// `VkDeviceQueueCreateInfo`.
#[repr(C)]
struct QueueInfo {
    kind: u32,
    next: *const c_void,
    flags: u32,
    family: u32,
    count: u32,
    priorities: *const f32,
}

/// `VkDeviceCreateInfo`.
#[repr(C)]
struct DeviceInfo {
    kind: u32,
    next: *const c_void,
    flags: u32,
    queues: u32,
    queue_infos: *const QueueInfo,
    layers: u32,
    layer_names: *const *const c_char,
    extensions: u32,
    extension_names: *const *const c_char,
    features: *const c_void,
}

/// `VkMemoryAllocateInfo`.
#[repr(C)]
struct MemoryInfo {
    kind: u32,
    next: *const c_void,
    bytes: u64,
    family: u32,
}

fn main() -> Result<(), String> {
    if std::env::args().nth(1).as_deref() != Some("free") {
        lock(Profile::Device).map_err(|error| error.to_string())?;
    }
    // SAFETY: the calls, structures and orders of Vulkan 1.0; what is asked for lives until the process ends.
    unsafe { ask() }
}

unsafe fn ask() -> Result<(), String> {
    // SAFETY: as said by the caller.
    unsafe {
        let library = libc::dlopen(c"libvulkan.so.1".as_ptr(), libc::RTLD_NOW);
        if library.is_null() {
            return Err(CStr::from_ptr(libc::dlerror()).to_string_lossy().into_owned());
        }
        let call = |name: &CStr| libc::dlsym(library, name.as_ptr());
        let create_instance: extern "C" fn(*const InstanceInfo, *const c_void, *mut Handle) -> i32 =
            std::mem::transmute(call(c"vkCreateInstance"));
        let devices: extern "C" fn(Handle, *mut u32, *mut Handle) -> i32 =
            std::mem::transmute(call(c"vkEnumeratePhysicalDevices"));
        let properties: extern "C" fn(Handle, *mut u8) = std::mem::transmute(call(c"vkGetPhysicalDeviceProperties"));
        let create_device: extern "C" fn(Handle, *const DeviceInfo, *const c_void, *mut Handle) -> i32 =
            std::mem::transmute(call(c"vkCreateDevice"));
        let allocate: extern "C" fn(Handle, *const MemoryInfo, *const c_void, *mut u64) -> i32 =
            std::mem::transmute(call(c"vkAllocateMemory"));

        let info = InstanceInfo {
            kind: 1,
            next: null(),
            flags: 0,
            application: null(),
            layers: 0,
            layer_names: null(),
            extensions: 0,
            extension_names: null(),
        };
        let mut instance = null_mut();
        answered("vkCreateInstance", create_instance(&raw const info, null(), &raw mut instance))?;
        let (mut count, mut found) = (8, [null_mut(); 8]);
        answered("vkEnumeratePhysicalDevices", devices(instance, &raw mut count, found.as_mut_ptr()))?;
        for physical in found.into_iter().take(count as usize) {
            // The name comes after five numbers.
            let mut described = [0u8; 4096];
            properties(physical, described.as_mut_ptr());
            let name = CStr::from_bytes_until_nul(&described[20..276]).unwrap_or_default();
            let priority = 1.0;
            let queue =
                QueueInfo { kind: 2, next: null(), flags: 0, family: 0, count: 1, priorities: &raw const priority };
            let info = DeviceInfo {
                kind: 3,
                next: null(),
                flags: 0,
                queues: 1,
                queue_infos: &raw const queue,
                layers: 0,
                layer_names: null(),
                extensions: 0,
                extension_names: null(),
                features: null(),
            };
            let mut device = null_mut();
            answered("vkCreateDevice", create_device(physical, &raw const info, null(), &raw mut device))?;
            let (info, mut memory) = (MemoryInfo { kind: 5, next: null(), bytes: 64 << 20, family: 0 }, 0);
            answered("vkAllocateMemory", allocate(device, &raw const info, null(), &raw mut memory))?;
            println!("{}: a device, and 64 MiB of its memory", name.to_string_lossy());
        }
        if count == 0 { Err("no device".into()) } else { Ok(()) }
    }
}

fn answered(call: &str, answer: i32) -> Result<(), String> {
    if answer < 0 { Err(format!("{call}: {answer}")) } else { Ok(()) }
}
