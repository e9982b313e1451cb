/* Stands in for std::ios_base_library_init() of GLIBCXX_3.4.32. Older libstdc++ initialises its streams from every
   translation unit that includes <iostream>, so there is nothing left to do here. */
void _ZSt21ios_base_library_initv(void) {}
