// main.c: the entry point of the multi-call binary.
int main(void) {
  return 0;
}
