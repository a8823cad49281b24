"""Which files may be recordings: endings that are looked for, containers that ffmpeg may open."""

# what libsndfile reads, and what people have that ffmpeg reads
# fmt: off
EXTENSIONS = frozenset(
    (
        ".3g2", ".3gp", ".3gpp", ".8svx", ".aa3", ".aac", ".ac3", ".adts", ".aif", ".aifc", ".aiff",
        ".amr", ".ape", ".asf", ".au", ".avi", ".avr", ".awb", ".bw64", ".bwf", ".caf", ".dav",
        ".divx", ".dsf", ".dss", ".dts", ".dtshd", ".dv", ".eac3", ".ec3", ".f4a", ".f4v", ".flac",
        ".flv", ".gsm", ".htk", ".iff", ".ircam", ".isma", ".ismv", ".m1a", ".m2a", ".m2t", ".m2ts",
        ".m4a", ".m4b", ".m4r", ".m4v", ".mac", ".mat", ".mk3d", ".mka", ".mkv", ".mlp", ".mov",
        ".mp+", ".mp1", ".mp2", ".mp3", ".mp4", ".mpa", ".mpc", ".mpc2k", ".mpe", ".mpeg", ".mpg",
        ".mpp", ".mts", ".mxf", ".nist", ".nut", ".oga", ".ogg", ".ogm", ".ogv", ".ogx", ".oma",
        ".omg", ".opus", ".paf", ".pvf", ".qcp", ".qt", ".ra", ".rf64", ".rm", ".rmvb", ".sd2",
        ".sds", ".sf", ".shn", ".snd", ".sox", ".sph", ".spx", ".svx", ".tak", ".thd", ".tod",
        ".ts", ".tta", ".vob", ".voc", ".vqf", ".w64", ".wav", ".wave", ".weba", ".webm", ".wma",
        ".wmv", ".wsd", ".wtv", ".wv", ".wve", ".xi", ".xwma",
    )
)

# ffmpeg's names for what holds its sound itself. Left out are playlists and scripts, which name
# other files or addresses, devices, pictures, subtitles, and values without a header.
CONTAINERS = (
    "3dostr", "3g2", "3gp", "4xm", "aac", "aax", "ac3", "ac4", "ace", "acm", "act", "adp", "ads",
    "adx", "aea", "afc", "aiff", "aix", "alp", "amr", "amrnb", "amrwb", "apc", "ape", "apm",
    "argo_asf", "asf", "asf_o", "ast", "au", "avi", "avr", "avs", "bfstm", "bink", "binka", "bit",
    "bmv", "boa", "brstm", "c93", "caf", "codec2", "daud", "dcstr", "derf", "dfpwm", "dhav",
    "dsf", "dsicin", "dss", "dts", "dtshd", "dv", "dxa", "ea", "eac3", "epaf", "film_cpk", "flac",
    "flv", "fsb", "fwse", "g723_1", "g729", "gdv", "genh", "gsm", "gxf", "hca", "hcom", "iff",
    "iamf", "ilbc", "ircam", "iss", "ivr", "jv", "kux", "kvag", "laf", "live_flv", "lmlm4",
    "loas", "luodat", "lxf", "m4a", "matroska", "mca", "mj2", "mlp", "mm", "mmf", "moflex", "mov",
    "mp3", "mp4", "mpc", "mpc8", "mpeg", "mpegts", "msf", "msp", "mtaf", "mtv", "mv", "mvi",
    "mxf", "nc", "nistsphere", "nsp", "nsv", "nut", "nuv", "ogg", "oma", "osq", "paf", "pmp",
    "pva", "pvf", "qcp", "qoa", "r3d", "rka", "rl2", "rm", "roq", "rpl", "rsd", "rso", "sds",
    "shn", "siff", "smjpeg", "smk", "smush", "sol", "sox", "spdif", "svag", "svs", "swf", "tak",
    "thp", "tmv", "truehd", "tta", "ty", "vag", "vivo", "vmd", "voc", "vpk", "vqf", "w64", "wav",
    "wc3movie", "webm", "wsd", "wsvqa", "wtv", "wv", "wve", "xa", "xmd", "xmv", "xvag", "xwma",
)
# fmt: on
